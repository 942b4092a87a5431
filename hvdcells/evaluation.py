"""From predictions of a split to its evaluation: scores by image and by subject, with intervals."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from hvdcells.manifest import SYNTHETIC_NOTICE
from hvdcells.metrics import bootstrap_intervals, classification_scores, subject_predictions


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split. `by_image`, `by_subject` as `metrics.classification_scores` returns them."""

    split: str
    epoch: int
    synthetic: bool
    subjects_known: bool
    num_subjects: int
    by_image: dict[str, Any]
    by_subject: dict[str, Any] | None
    intervals: dict[str, tuple[float, float] | None]
    class_names: tuple[str, ...]

    @classmethod
    def of_predictions(
        cls,
        predictions: pd.DataFrame,
        *,
        split: str,
        epoch: int,
        class_names: tuple[str, ...],
        synthetic: bool,
        subjects_known: bool,
    ) -> "Evaluation":
        """Evaluate predictions with the columns `subject`, `label`, `probability`, one row per image."""
        labels = predictions["label"].to_numpy()
        probabilities = predictions["probability"].to_numpy()
        subjects = predictions["subject"].tolist()
        by_subject, intervals = None, {}
        if subjects_known:
            per_subject = subject_predictions(subjects, labels, probabilities)
            by_subject = classification_scores(per_subject["label"].to_numpy(), per_subject["probability"].to_numpy())
            by_subject["subjects"] = by_subject.pop("images")
            intervals = bootstrap_intervals(subjects, labels, probabilities)
        return cls(
            split=split,
            epoch=epoch,
            synthetic=synthetic,
            subjects_known=subjects_known,
            num_subjects=len(set(subjects)) if subjects_known else 0,
            by_image=classification_scores(labels, probabilities),
            by_subject=by_subject,
            intervals=intervals,
            class_names=class_names,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what the evaluation's JSON file holds."""
        notice = {"notice": SYNTHETIC_NOTICE} if self.synthetic else {}
        return {
            **notice,
            "split": self.split,
            "epoch": self.epoch,
            "synthetic": self.synthetic,
            "class_names": list(self.class_names),
            "positive_class": self.class_names[1],
            "subjects_known": self.subjects_known,
            "num_subjects": self.num_subjects,
            "by_image": self.by_image,
            "by_subject": self.by_subject,
            "intervals_95_percent_bootstrap_over_subjects": self.intervals,
        }
