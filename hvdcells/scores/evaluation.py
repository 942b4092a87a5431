"""From predictions of a split to its evaluation: scores by image and by subject, with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from hvdcells.data.manifest import SYNTHETIC_NOTICE, Manifest
from hvdcells.scores.classification import classification_scores, positive_labels, score_label, score_names
from hvdcells.scores.evaluated_dataset import EvaluatedDataset
from hvdcells.scores.intervals import Intervals, NamedIntervals, bootstrap_intervals, proportion_intervals
from hvdcells.scores.prediction_table import class_probabilities
from hvdcells.scores.subjects import subject_predictions

_INTERVALS = "intervals_95_percent_of_by_image"
_CLASS_INTERVALS = "intervals_95_percent_of_by_image_per_class"
_SUBJECT_INTERVALS = "intervals_95_percent_of_by_subject"
_SUBJECT_CLASS_INTERVALS = "intervals_95_percent_of_by_subject_per_class"
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
    num_mixed_subjects: int
    """Subjects with images of several classes; by subject they count as of the class of most."""
    by_image: dict[str, Any]
    by_subject: dict[str, Any] | None
    intervals: NamedIntervals
    """(low, high) of the scores by image, from a bootstrap over subjects, or over images where subjects are unknown."""
    class_intervals: list[NamedIntervals]
    """The same of the scores of each class, by label."""
    subject_intervals: NamedIntervals
    """(low, high) of the scores by subject: exact of proportions, else from a bootstrap; empty without subjects."""
    subject_class_intervals: list[NamedIntervals]
    class_names: tuple[str, ...]
    positive_classes: tuple[str, ...]
    """Classes that count as ill."""
    num_views: int = 1
    """Of each image, whose probabilities are averaged: 8 for the symmetries of the square."""

    @classmethod
    def of_predictions(
        cls,
        predictions: pd.DataFrame,
        manifest: Manifest,
        dataset: EvaluatedDataset,
        *,
        split: str,
        epoch: int | None,
        positive_classes: Sequence[str] | None = None,
        num_views: int = 1,
    ) -> "Evaluation":
        """Evaluate predictions with `subject`, `label` and the probability of each class, one row per image.

        Args:
            predictions: of all images of the split.
            manifest: of their dataset.
            dataset: which one that is.
            split: its name.
            epoch: of the model that made them; None where several models did.
            positive_classes: those that count as ill; None for the manifest's.
            num_views: of each image that were averaged.
        """
        labels = predictions["label"].to_numpy()
        probabilities = class_probabilities(predictions, manifest.class_names)
        subjects = predictions["subject"].tolist()
        chosen = manifest.positive_classes if positive_classes is None else tuple(positive_classes)
        positive = positive_labels(manifest.class_names, chosen)
        by_subject: dict[str, Any] | None = None
        subject_intervals, num_mixed = Intervals({}, []), 0
        if manifest.subjects_known:
            per_subject, means = subject_predictions(subjects, labels, probabilities)
            scored = per_subject["label"].to_numpy(), means, positive
            num_mixed = int(per_subject["mixed"].sum())
            by_subject = classification_scores(*scored)
            by_subject["subjects"] = by_subject.pop("images")
            drawn = bootstrap_intervals(per_subject["subject"].tolist(), *scored)
            subject_intervals = drawn.replaced_by(proportion_intervals(by_subject))
        drawn_with = subjects if manifest.subjects_known else range(len(predictions))
        intervals = bootstrap_intervals(drawn_with, labels, probabilities, positive)
        return cls(
            split=split,
            epoch=epoch,
            dataset=dataset,
            synthetic=manifest.synthetic,
            subjects_known=manifest.subjects_known,
            num_subjects=len(set(subjects)) if manifest.subjects_known else 0,
            num_mixed_subjects=num_mixed,
            by_image=classification_scores(labels, probabilities, positive),
            by_subject=by_subject,
            intervals=intervals.overall,
            class_intervals=intervals.per_class,
            subject_intervals=subject_intervals.overall,
            subject_class_intervals=subject_intervals.per_class,
            class_names=manifest.class_names,
            positive_classes=chosen,
            num_views=num_views,
        )

    @property
    def name(self) -> str:
        """How the run calls the evaluation: by its split, the digest of a dataset other than its own, and the views."""
        of_other = f"-{self.dataset.short_digest}" * bool(self.dataset.other)
        return f"{self.split}{of_other}" + f"-tta{self.num_views}" * (self.num_views > 1)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The scores to show, in order."""
        return score_names(len(self.class_names), self.positive_classes)

    def label(self, name: str) -> str:
        """Return how a score is called where people read it."""
        return score_label(name, len(self.class_names), self.positive_classes)

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
            KeyError, pydantic.ValidationError: an earlier version wrote it.
        """
        values = {
            **{"num_views": 1, **values},
            "intervals": values[_INTERVALS],
            "class_intervals": values[_CLASS_INTERVALS],
            "subject_intervals": values[_SUBJECT_INTERVALS],
            "subject_class_intervals": values[_SUBJECT_CLASS_INTERVALS],
            "class_names": tuple(values["class_names"]),
            "positive_classes": tuple(values["positive_classes"]),
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
            "num_views": self.num_views,
            "dataset": asdict(self.dataset),
            "synthetic": self.synthetic,
            "class_names": list(self.class_names),
            "positive_classes": list(self.positive_classes),
            "subjects_known": self.subjects_known,
            "num_subjects": self.num_subjects,
            "num_mixed_subjects": self.num_mixed_subjects,
            "by_image": self.by_image,
            "by_subject": self.by_subject,
            _INTERVALS: self.intervals,
            _CLASS_INTERVALS: self.class_intervals,
            _SUBJECT_INTERVALS: self.subject_intervals,
            _SUBJECT_CLASS_INTERVALS: self.subject_class_intervals,
            _METHODS: self.interval_methods,
        }
