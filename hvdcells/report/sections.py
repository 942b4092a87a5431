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
from hvdcells.scores.classification import SCORE_NAMES, score_label
from hvdcells.scores.curves import Calibration, calibration, precision_recall_points
from hvdcells.scores.intervals import Interval
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
class SplitSection:
    """All about the predictions of one split."""

    facts: SplitFacts
    scores: list[ScoreRow]
    pictures: list[Picture]
    calibration: Calibration
    average_precision: float | None
    subjects: list[dict[Hashable, Any]]
    """The rows of `subject_table`."""
    subjects_picture: Picture | None
    subjects_not_drawn: int
    worst: list[WorstImage]
    num_wrong: dict[int, int]
    """Images called the other class, by label."""
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
    labels, probabilities = predictions["label"].to_numpy(), predictions["probability"].to_numpy()
    table = subject_table(predictions) if evaluation.subjects_known else pd.DataFrame()
    worst, no_images_because = _worst(facts)
    precision_recall = precision_recall_points(labels, probabilities)
    (_, false_positive), (false_negative, _) = evaluation.by_image["confusion_matrix"]
    return SplitSection(
        facts=facts,
        scores=_score_rows(facts),
        pictures=_split_pictures(facts),
        calibration=calibration(labels, probabilities),
        average_precision=None if precision_recall is None else precision_recall[2],
        subjects=table.to_dict("records"),
        subjects_picture=_subjects_picture(table, evaluation.class_names),
        subjects_not_drawn=max(0, len(table) - MOST_SUBJECTS_DRAWN),
        worst=worst,
        num_wrong={0: false_positive, 1: false_negative},
        no_images_because=no_images_because,
    )


def _score_rows(facts: SplitFacts) -> list[ScoreRow]:
    evaluation = facts.evaluation
    by_subject = evaluation.by_subject or {}
    return [
        ScoreRow(
            label=score_label(name, evaluation.class_names),
            by_image=evaluation.by_image[name],
            interval=evaluation.intervals.get(name),
            by_subject=by_subject.get(name),
            subject_interval=evaluation.subject_intervals.get(name),
        )
        for name in SCORE_NAMES
    ]


def _split_pictures(facts: SplitFacts) -> list[Picture]:
    evaluation, predictions = facts.evaluation, facts.predictions
    labels, probabilities = predictions["label"].to_numpy(), predictions["probability"].to_numpy()
    names, split = evaluation.class_names, evaluation.split
    result = [_confusion_picture("images", evaluation.by_image["confusion_matrix"], names)]
    if evaluation.by_subject:
        result.append(_confusion_picture("subjects", evaluation.by_subject["confusion_matrix"], names))
    auroc = evaluation.by_image["auroc"]
    bins = calibration(labels, probabilities)
    roc_words = f"ROC curve of {split}, area {auroc:.3f}" if auroc is not None else "no ROC curve: one class only"
    reliability_words = f"Reliability diagram of {split}, calibration error {bins.expected_calibration_error:.3f}"
    return [
        *result,
        picture("ROC by image", roc_words, plots.roc(labels, probabilities)),
        picture(
            "Precision and recall by image",
            f"Precision–recall curve of {split} for class {names[1]}",
            plots.precision_recall(labels, probabilities),
        ),
        picture("Calibration by image", reliability_words, plots.reliability(labels, probabilities)),
    ]


def _confusion_picture(what: str, matrix: list[list[int]], names: tuple[str, ...]) -> Picture:
    (true_negative, false_positive), (false_negative, true_positive) = matrix
    alt = (
        f"Confusion matrix of {what}: of {names[1]}, {true_positive} called {names[1]} and {false_negative} "
        f"{names[0]}; of {names[0]}, {true_negative} called {names[0]} and {false_positive} {names[1]}"
    )
    return picture(f"Confusion of {what}", alt, plots.confusion(matrix, names, what))


def _subjects_picture(table: pd.DataFrame, names: tuple[str, ...]) -> Picture | None:
    if table.empty:
        return None
    # Where there are many, those nearest to a wrong call are the ones to look at.
    of_own_class = table["probability"].where(table["label"] == 1, 1 - table["probability"])
    drawn = table.loc[of_own_class.nsmallest(MOST_SUBJECTS_DRAWN).index.sort_values()]
    wrong = (table["called"] != table["label"]).sum()
    alt = f"Mean probability of {len(drawn)} subjects with intervals; {wrong} of {len(table)} subjects called wrong"
    return picture("Probability by subject", alt, plots.subjects(drawn, names))


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
            f"Weighted F1 and AUROC by epoch; weighted F1 {last['validation']['weighted_f1']:.3f} at the end",
            training_figures.score_curves(epochs),
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
