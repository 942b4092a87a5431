"""From predictions of a split to its evaluation: scores by image and by subject, with intervals."""

from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from hvdcells.data.manifest import SYNTHETIC_NOTICE, Manifest
from hvdcells.scores.classification import bootstrap_intervals, classification_scores, subject_predictions

_INTERVALS = "intervals_95_percent_bootstrap_over_subjects"
_SUBJECT_INTERVALS = "intervals_95_percent_of_by_subject"


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split. `by_image`, `by_subject` as `metrics.classification_scores` returns them."""

    split: str
    epoch: int | None
    synthetic: bool
    subjects_known: bool
    num_subjects: int
    by_image: dict[str, Any]
    by_subject: dict[str, Any] | None
    intervals: dict[str, tuple[float, float] | None]
    """(low, high) of the scores by image; empty where subjects are unknown."""
    subject_intervals: dict[str, tuple[float, float] | None]
    """(low, high) of the scores by subject."""
    class_names: tuple[str, ...]

    @classmethod
    def of_predictions(
        cls,
        predictions: pd.DataFrame,
        manifest: Manifest,
        *,
        split: str,
        epoch: int | None,
    ) -> "Evaluation":
        """Evaluate predictions with the columns `subject`, `label`, `probability`, one row per image.

        Args:
            predictions: of all images of the split.
            manifest: of their dataset.
            split: its name.
            epoch: of the model that made them; None where several models did.
        """
        labels = predictions["label"].to_numpy()
        probabilities = predictions["probability"].to_numpy()
        subjects = predictions["subject"].tolist()
        by_subject, intervals, subject_intervals = None, {}, {}
        if manifest.subjects_known:
            per_subject = subject_predictions(subjects, labels, probabilities)
            subject_labels = per_subject["label"].to_numpy()
            subject_probabilities = per_subject["probability"].to_numpy()
            by_subject = classification_scores(subject_labels, subject_probabilities)
            by_subject["subjects"] = by_subject.pop("images")
            intervals = bootstrap_intervals(subjects, labels, probabilities)
            subject_intervals = bootstrap_intervals(per_subject["subject"], subject_labels, subject_probabilities)
        return cls(
            split=split,
            epoch=epoch,
            synthetic=manifest.synthetic,
            subjects_known=manifest.subjects_known,
            num_subjects=len(set(subjects)) if manifest.subjects_known else 0,
            by_image=classification_scores(labels, probabilities),
            by_subject=by_subject,
            intervals=intervals,
            subject_intervals=subject_intervals,
            class_names=manifest.class_names,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_dict` gave."""
        values = {**values, "intervals": values[_INTERVALS], "subject_intervals": values[_SUBJECT_INTERVALS]}
        return cls(**{field.name: values[field.name] for field in fields(cls)})

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
            _INTERVALS: self.intervals,
            _SUBJECT_INTERVALS: self.subject_intervals,
        }
