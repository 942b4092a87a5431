"""The parts of the page, as plain values that the template prints."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hvdcells.errors import UserError
from hvdcells.report import training_figures
from hvdcells.report.facts import RunFacts, SplitFacts
from hvdcells.report.pictures import Picture, picture
from hvdcells.report.worst_images import WorstImage, worst_images
from hvdcells.scores import plots
from hvdcells.scores.classification import positive_labels
from hvdcells.scores.evaluation import Evaluation
from hvdcells.scores.intervals import Interval
from hvdcells.scores.prediction_table import class_probabilities
from hvdcells.scores.scorer import CLASS_SCORE_NAMES
from hvdcells.scores.subjects import subject_table

MOST_SUBJECTS_DRAWN = 60


@dataclass(frozen=True)
class ScoreRow:
    """One score, by image and by subject, with intervals; None is "not defined"."""

    label: str
    by_image: float | None
    interval: Interval | None
    by_subject: float | None
    subject_interval: Interval | None


@dataclass(frozen=True)
class ClassRow:
    """One class against the rest, by image."""

    name: str
    images: int
    num_wrong: int
    """Images that are called another class."""
    scores: list[tuple[float | None, Interval | None]]
    """Of `CLASS_SCORE_NAMES`, with their intervals."""


@dataclass(frozen=True)
class SplitSection:
    """All about the predictions of one split."""

    facts: SplitFacts
    scores: list[ScoreRow]
    pictures: list[Picture]
    classes: list[ClassRow]
    subjects: list[dict[Hashable, Any]]
    """The rows of `subject_table`."""
    watched: int | None
    """Of two classes, the one whose probability is told; None of more, where it is that of the own class."""
    subjects_picture: Picture | None
    subjects_not_drawn: int
    worst: list[WorstImage]
    no_images_because: str | None

    @property
    def lacks_intervals(self) -> bool:
        """Whether a score that is defined has no interval."""
        return any(
            score is not None and interval is None
            for row in self.scores
            for score, interval in ((row.by_image, row.interval), (row.by_subject, row.subject_interval))
        )


def split_section(facts: SplitFacts) -> SplitSection:
    """Compute and draw everything about one split."""
    evaluation, predictions = facts.evaluation, facts.predictions
    probabilities, watched = class_probabilities(predictions, evaluation.class_names), watched_class(evaluation)
    table = subject_table(predictions, probabilities, watched) if evaluation.subjects_known else pd.DataFrame()
    worst, no_images_because = _worst(facts)
    return SplitSection(
        facts=facts,
        scores=_score_rows(facts),
        pictures=_split_pictures(facts),
        classes=_class_rows(evaluation),
        watched=watched,
        subjects=table.to_dict("records"),
        subjects_picture=_subjects_picture(table, evaluation.class_names, watched),
        subjects_not_drawn=max(0, len(table) - MOST_SUBJECTS_DRAWN),
        worst=worst,
        no_images_because=no_images_because,
    )


def _score_rows(facts: SplitFacts) -> list[ScoreRow]:
    evaluation = facts.evaluation
    by_subject = evaluation.by_subject or {}
    return [
        ScoreRow(
            label=evaluation.label(name),
            by_image=evaluation.by_image[name],
            interval=evaluation.intervals.get(name),
            by_subject=by_subject.get(name),
            subject_interval=evaluation.subject_intervals.get(name),
        )
        for name in evaluation.score_names
    ]


def watched_class(evaluation: Evaluation) -> int | None:
    """Return, of two classes, the one whose probability is told: that which counts as ill; None of more."""
    if len(evaluation.class_names) > 2:
        return None
    return [*positive_labels(evaluation.class_names, evaluation.positive_classes), 1][0]


def _class_rows(evaluation: Evaluation) -> list[ClassRow]:
    rows = zip(
        evaluation.class_names,
        evaluation.by_image["per_class"],
        evaluation.class_intervals,
        evaluation.by_image["confusion_matrix"],
        strict=True,
    )
    return [
        ClassRow(
            name=name,
            images=scores["images"],
            num_wrong=scores["images"] - counts[label],
            scores=[(scores[word], intervals.get(word)) for word in CLASS_SCORE_NAMES],
        )
        for label, (name, scores, intervals, counts) in enumerate(rows)
    ]


def _split_pictures(facts: SplitFacts) -> list[Picture]:
    evaluation, predictions = facts.evaluation, facts.predictions
    names, split = evaluation.class_names, evaluation.split
    labels, probabilities = predictions["label"].to_numpy(), class_probabilities(predictions, names)
    positive, watched = positive_labels(names, evaluation.positive_classes), watched_class(evaluation)
    of_class, is_wide = 1 if watched is None else watched, len(names) > plots.FEW_CLASSES
    result = [_confusion_picture("images", evaluation.by_image["confusion_matrix"], names)]
    if evaluation.by_subject:
        result.append(_confusion_picture("subjects", evaluation.by_subject["confusion_matrix"], names))
    scores = evaluation.by_image
    auroc, which = scores["auroc"], names[of_class] if watched is not None else "each class against the rest"
    roc_words = f"ROC of {which} in {split}, area {auroc:.3f}" if auroc is not None else "no ROC curve: one class only"
    reliability_words = f"Reliability diagram of {split}, calibration error {scores['calibration_error']:.3f}"
    return [
        *result,
        picture("ROC by image", roc_words, plots.roc(labels, probabilities, names, scores, of_class), is_wide),
        picture(
            "Precision and recall by image",
            f"Precision–recall of {which} in {split}",
            plots.precision_recall(labels, probabilities, names, scores, of_class),
            is_wide,
        ),
        picture("Calibration by image", reliability_words, plots.reliability(labels, probabilities, names, positive)),
    ]


def _confusion_picture(what: str, matrix: list[list[int]], names: tuple[str, ...]) -> Picture:
    of_class = (
        f"of {name}, " + " and ".join(f"{count} called {names[k]}" for k, count in enumerate(row) if count)
        for name, row in zip(names, matrix, strict=True)
        if any(row)
    )
    alt = f"Confusion matrix of {what}: {'; '.join(of_class)}"
    return picture(f"Confusion of {what}", alt, plots.confusion(matrix, names, what), len(names) > plots.FEW_CLASSES)


def _subjects_picture(table: pd.DataFrame, names: tuple[str, ...], watched: int | None) -> Picture | None:
    if table.empty:
        return None
    # Where there are many, those nearest to a wrong call are the ones to look at.
    drawn = table.loc[table["own"].nsmallest(MOST_SUBJECTS_DRAWN).index.sort_values()]
    wrong = (table["called"] != table["label"]).sum()
    alt = f"Mean probability of {len(drawn)} subjects with intervals; {wrong} of {len(table)} subjects called wrong"
    return picture("Probability by subject", alt, plots.subjects(drawn, names, watched))


def _worst(facts: SplitFacts) -> tuple[list[WorstImage], str | None]:
    if facts.dataset is None:
        return [], "the dataset cannot be opened"
    try:
        return worst_images(facts.predictions, facts.dataset, facts.evaluation.split), None
    except (UserError, OSError) as error:
        return [], error.given if isinstance(error, UserError) else str(error)


def training_pictures(facts: RunFacts) -> list[Picture]:
    """Return the curves over the epochs and where the time went."""
    epochs = facts.epochs
    if not epochs:
        return []
    last = epochs[-1]
    return [
        picture(
            "Loss", f"Loss by epoch; at the end {last['loss']:.3f} in training", training_figures.loss_curves(epochs)
        ),
        picture(
            "Validation score",
            f"Weighted F1, macro F1 and AUROC by epoch; weighted F1 {last['validation']['weighted_f1']:.3f} at the end",
            training_figures.score_curves(epochs, len(facts.run["dataset"]["class_names"])),
        ),
        picture("Learning rate", "Learning rate by epoch", training_figures.rate_curve(epochs)),
        picture("Speed", "Training images per second over all workers by epoch", training_figures.speed_curve(epochs)),
        picture(
            "Split of the step by epoch",
            f"Shares of input, compute and communication by epoch; in the last one {last['split']}",
            training_figures.step_split(epochs),
        ),
        picture("Split of the step by rank", "Seconds of each part on each rank", training_figures.rank_split(epochs)),
    ]
