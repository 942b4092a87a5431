"""From predictions of a split to its evaluation: scores by image and by subject, with intervals."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from hvdcells.data.manifest import SYNTHETIC_NOTICE, Manifest
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.evaluated_dataset import EvaluatedDataset
from hvdcells.scores.intervals import Interval, bootstrap_intervals, proportion_intervals
from hvdcells.scores.subjects import subject_predictions

_INTERVALS = "intervals_95_percent_of_by_image"
_SUBJECT_INTERVALS = "intervals_95_percent_of_by_subject"
_METHODS = "interval_methods"
OVER_SUBJECTS = "bootstrap over subjects"
OVER_IMAGES = "bootstrap over images, too narrow if images share subjects"
EXACT = "exact (Clopper–Pearson) over subjects"


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split. `by_image`, `by_subject` as `classification.classification_scores` returns them."""

    split: str
    epoch: int | None
    dataset: EvaluatedDataset
    synthetic: bool
    subjects_known: bool
    num_subjects: int
    by_image: dict[str, Any]
    by_subject: dict[str, Any] | None
    intervals: dict[str, Interval | None]
    """(low, high) of the scores by image, from a bootstrap over subjects, or over images where subjects are unknown."""
    subject_intervals: dict[str, Interval | None]
    """(low, high) of the scores by subject: exact of proportions, else from a bootstrap; empty without subjects."""
    class_names: tuple[str, ...]

    @classmethod
    def of_predictions(
        cls,
        predictions: pd.DataFrame,
        manifest: Manifest,
        dataset: EvaluatedDataset,
        *,
        split: str,
        epoch: int | None,
    ) -> "Evaluation":
        """Evaluate predictions with the columns `subject`, `label`, `probability`, one row per image.

        Args:
            predictions: of all images of the split.
            manifest: of their dataset.
            dataset: which one that is.
            split: its name.
            epoch: of the model that made them; None where several models did.
        """
        labels = predictions["label"].to_numpy()
        probabilities = predictions["probability"].to_numpy()
        subjects = predictions["subject"].tolist()
        by_subject: dict[str, Any] | None = None
        subject_intervals: dict[str, Interval | None] = {}
        if manifest.subjects_known:
            per_subject = subject_predictions(subjects, labels, probabilities)
            scored = per_subject["label"].to_numpy(), per_subject["probability"].to_numpy()
            by_subject = classification_scores(*scored)
            by_subject["subjects"] = by_subject.pop("images")
            subject_intervals = {
                **bootstrap_intervals(per_subject["subject"].tolist(), *scored),
                **proportion_intervals(by_subject["confusion_matrix"]),
            }
        drawn_with = subjects if manifest.subjects_known else range(len(predictions))
        return cls(
            split=split,
            epoch=epoch,
            dataset=dataset,
            synthetic=manifest.synthetic,
            subjects_known=manifest.subjects_known,
            num_subjects=len(set(subjects)) if manifest.subjects_known else 0,
            by_image=classification_scores(labels, probabilities),
            by_subject=by_subject,
            intervals=bootstrap_intervals(drawn_with, labels, probabilities),
            subject_intervals=subject_intervals,
            class_names=manifest.class_names,
        )

    @property
    def name(self) -> str:
        """How the run calls the evaluation: by its split, with the digest of a dataset other than the run's own."""
        return f"{self.split}-{self.dataset.short_digest}" if self.dataset.other else self.split

    @property
    def interval_methods(self) -> dict[str, str]:
        """How the intervals were made, by what they are of; each 95 %."""
        if not self.subjects_known:
            return {"by_image": OVER_IMAGES}
        return {"by_image": OVER_SUBJECTS, "by_subject_proportions": EXACT, "by_subject_others": OVER_SUBJECTS}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_dict` gave.

        Raises:
            KeyError: an earlier version wrote it.
        """
        values = {
            **values,
            "intervals": values[_INTERVALS],
            "subject_intervals": values[_SUBJECT_INTERVALS],
            "dataset": TypeAdapter(EvaluatedDataset).validate_python(values["dataset"]),
        }
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return what the evaluation's JSON file holds."""
        notice = {"notice": SYNTHETIC_NOTICE} if self.synthetic else {}
        return {
            **notice,
            "split": self.split,
            "epoch": self.epoch,
            "dataset": asdict(self.dataset),
            "synthetic": self.synthetic,
            "class_names": list(self.class_names),
            "positive_class": self.class_names[1],
            "subjects_known": self.subjects_known,
            "num_subjects": self.num_subjects,
            "by_image": self.by_image,
            "by_subject": self.by_subject,
            _INTERVALS: self.intervals,
            _SUBJECT_INTERVALS: self.subject_intervals,
            _METHODS: self.interval_methods,
        }
