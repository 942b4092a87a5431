"""From logits to a decision: calibrated probabilities, a threshold, a band in which a person should look, by subject.

All of it is chosen on validation images. The probability of illness is the sum over the classes that count as ill, so
that any number of classes comes down to ill against not ill.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hvdcells.errors import UserError
from hvdcells.scores.formulas import Floats
from hvdcells.scores.prediction_table import mean_log_loss, probabilities_of

if TYPE_CHECKING:
    import pandas as pd

SubjectRule = Literal["mean", "median", "share", "top"]
"""How a subject's value follows from its images: mean or median of their probabilities, share of them above the
threshold, or the mean of the likeliest tenth."""

HALF, WEIGHTED_F1, YOUDEN = "0.5", "weighted-f1", "youden"
TEMPERATURES = (0.05, 20.0)
"""Bounds of the search."""
TOP_SHARE = 0.1
"""Of a subject's images, at least one: those that the rule `top` looks at."""
REFER_SHARE = 0.1
"""Of the validation images, by default, a person should look at."""


class Decision(BaseModel):
    """What is done with a model's logits. `RUN/decision.json` holds one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_names: tuple[str, ...]
    positive_classes: tuple[str, ...]
    """Classes that count as ill; without any there is no threshold, and the likeliest class is called."""
    temperature: Annotated[float, Field(gt=0)]
    """Logits are divided by it (Guo et al. 2017, arXiv 1706.04599)."""
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]]
    """Calibrated probability of illness from which an image is called ill, by how it was chosen."""
    chosen: str
    """The name of the threshold in use."""
    refer: tuple[float, float]
    """From the first to the second calibrated probability of illness, a person should look; equal for never."""
    subject_rule: SubjectRule
    notes: tuple[str, ...] = ()

    @property
    def threshold(self) -> float:
        """The threshold in use."""
        return self.thresholds[self.chosen]

    def probabilities(self, logits: NDArray[Any]) -> Floats:
        """Return calibrated probabilities, float64 (n, K), of logits (n, K)."""
        return probabilities_of(logits / self.temperature)

    def ill(self, probabilities: Floats) -> Floats:
        """Return the probability of illness, float64 (n,), of probabilities (n, K)."""
        return np.asarray(probabilities[:, positions(self.class_names, self.positive_classes)].sum(axis=1).clip(0, 1))

    def refers(self, ill: Floats) -> NDArray[np.bool_]:
        """Return which images a person should look at, by their probabilities of illness."""
        low, high = self.refer
        return np.asarray((ill >= low) & (ill < high))

    def decided(self, probabilities: Floats) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
        """Return what images are called, text (n,), and whether a person should look, bool (n,).

        They are called by class names where there are two classes, or none counts as ill; else `ill` or `not ill`.
        """
        names = np.array(self.class_names, object)
        if not self.positive_classes:
            return names[probabilities.argmax(axis=1)], np.zeros(len(probabilities), bool)
        ill = self.ill(probabilities)
        return self.words[(ill >= self.threshold).astype(int)], self.refers(ill)

    @property
    def words(self) -> NDArray[np.object_]:
        """What is not called ill, and what is."""
        if len(self.class_names) > 2:
            return np.array(["not ill", "ill"], object)
        healthy = next(name for name in self.class_names if name not in self.positive_classes)
        return np.array([healthy, *self.positive_classes], object)

    def subject_values(self, subjects: Sequence[str], ill: Floats) -> "pd.Series[float]":
        """Return the value of each subject by the rule, and by name in order."""
        import pandas as pd  # here and not above: a server decides about images without it

        return _values(self.subject_rule, self.threshold)(pd.Series(ill).groupby(np.asarray(subjects)))

    @property
    def subject_threshold(self) -> float:
        """The value from which a subject is called ill: half of its images by `share`, else as an image."""
        return 0.5 if self.subject_rule == "share" else self.threshold


def positions(class_names: Sequence[str], positive_classes: Sequence[str]) -> list[int]:
    """Return the labels of the classes that count as ill."""
    return [class_names.index(name) for name in positive_classes]


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float | None:
    """Return the temperature of the smallest cross-entropy.

    Returns:
        The temperature; None where no image is called wrong: the best would then be zero, certainty that no number of
        images can give.
    """
    from scipy.optimize import minimize_scalar

    if np.all(logits.argmax(axis=1) == labels):
        return None
    found = minimize_scalar(
        lambda log: mean_log_loss(logits / math.exp(log), labels),
        bounds=(math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1])),
        method="bounded",
    )
    return float(math.exp(found.x))


def decide(
    logits: NDArray[Any],
    labels: NDArray[Any],
    subjects: Sequence[str] | None,
    class_names: Sequence[str],
    positive_classes: Sequence[str],
    *,
    at_sensitivity: float | None = None,
    at_specificity: float | None = None,
    choose: str | None = None,
    refer_share: float = REFER_SHARE,
    subject_rule: SubjectRule | None = None,
) -> Decision:
    """Choose all of a decision on validation images.

    Args:
        logits: (n, K).
        labels: int (n,).
        subjects: of each image; None where they are not known.
        class_names: K names.
        positive_classes: those that count as ill.
        at_sensitivity: adds the highest threshold of at least this sensitivity, which is then chosen.
        at_specificity: adds the lowest threshold of at least this specificity, likewise.
        choose: the threshold in use; None for the one that was asked for, else 0.5.
        refer_share: share of the images, those nearest to the threshold, that a person should look at.
        subject_rule: None for the one that calls most validation subjects right, the simplest of equal ones.

    Raises:
        UserError: no such threshold.
    """
    temperature, notes = fit_temperature(logits, labels), []
    if temperature is None:
        notes.append(
            "No validation image is called wrong, so no temperature could be fitted: probabilities are uncalibrated."
        )
    positive = positions(class_names, positive_classes)
    thresholds = {HALF: 0.5}
    ill = probabilities_of(logits / (temperature or 1.0))[:, positive].sum(axis=1).clip(0, 1)
    is_ill = np.isin(labels, positive)
    if positive and 0 < is_ill.sum() < len(labels):
        table = threshold_table(is_ill, ill)
        thresholds[WEIGHTED_F1] = _best(table, "weighted_f1")
        thresholds[YOUDEN] = _best(table.assign(youden=table["sensitivity"] + table["specificity"]), "youden")
        if at_sensitivity is not None:
            name = f"sensitivity-{at_sensitivity:g}"
            thresholds[name] = float(table["threshold"][table["sensitivity"] >= at_sensitivity].max())
            choose = choose or name
        if at_specificity is not None:
            name = f"specificity-{at_specificity:g}"
            thresholds[name] = float(table["threshold"][table["specificity"] >= at_specificity].min())
            choose = choose or name
    elif at_sensitivity is not None or at_specificity is not None:
        raise UserError(
            "a sensitivity or specificity for a run without ill and healthy validation images",
            "classes that count as ill, and images of both kinds",
            "leave --at-sensitivity and --at-specificity out",
        )
    if choose is not None and choose not in thresholds:
        raise UserError(f"the threshold {choose}", f"one of {', '.join(thresholds)}", "name one of these")
    chosen = choose or HALF
    decision = Decision(
        class_names=tuple(class_names),
        positive_classes=tuple(positive_classes),
        temperature=temperature or 1.0,
        thresholds=thresholds,
        chosen=chosen,
        refer=refer_band(ill, thresholds[chosen], refer_share) if positive else (0.0, 0.0),
        subject_rule=subject_rule or "mean",
        notes=tuple(notes),
    )
    if subjects is None or subject_rule is not None or not positive:
        return decision
    rules: tuple[SubjectRule, ...] = ("mean", "median", "share", "top")
    return max(
        (decision.model_copy(update={"subject_rule": rule}) for rule in rules),
        key=lambda each: subjects_right(each, subjects, is_ill, ill),  # the first of equal ones
    )


def threshold_table(is_ill: NDArray[np.bool_], ill: Floats) -> "pd.DataFrame":
    """Return `threshold`, `sensitivity`, `specificity` and `weighted_f1` for every way to divide the images.

    Thresholds lie midway between neighbouring probabilities, and at 0 and 1.0: from 0 on, all are called ill.
    """
    import pandas as pd

    values, places = np.unique(ill, return_inverse=True)
    ill_at, healthy_at = (np.bincount(places, kind, len(values)) for kind in (is_ill, ~is_ill))
    thresholds = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [1.0]])
    false_negative = np.concatenate([[0.0], np.cumsum(ill_at)])
    true_negative = np.concatenate([[0.0], np.cumsum(healthy_at)])
    if values[-1] == 1.0:  # from 1.0 on, what has a probability of 1 is called ill
        false_negative[-1], true_negative[-1] = false_negative[-2], true_negative[-2]
    num_ill, num_healthy = is_ill.sum(), (~is_ill).sum()
    true_positive, false_positive = num_ill - false_negative, num_healthy - true_negative
    f1_ill = 2 * true_positive / (2 * true_positive + false_positive + false_negative)
    f1_healthy = 2 * true_negative / np.maximum(2 * true_negative + false_positive + false_negative, 1)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": true_positive / num_ill,
            "specificity": true_negative / num_healthy,
            "weighted_f1": (num_ill * f1_ill + num_healthy * f1_healthy) / len(ill),
        }
    )


def refer_band(ill: Floats, threshold: float, share: float) -> tuple[float, float]:
    """Return the band of probabilities around a threshold that holds a share of images, those nearest by log-odds."""
    if not share or not 0 < threshold < 1:
        return threshold, threshold
    distance = np.abs(log_odds(ill) - log_odds(np.array(threshold)))
    reach = float(np.quantile(distance, share, method="higher"))
    centre = float(log_odds(np.array(threshold)))
    low, high = (1 / (1 + math.exp(-max(-700.0, min(700.0, value)))) for value in (centre - reach, centre + reach))
    return low, float(np.nextafter(high, 2.0).clip(0, 1))


def log_odds(probabilities: Floats) -> Floats:
    """Return log(p / (1 − p)), within ±36, where float64 ends."""
    clipped = np.clip(probabilities, 2.0**-52, 1 - 2.0**-52)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def subjects_right(decision: Decision, subjects: Sequence[str], is_ill: NDArray[np.bool_], ill: Floats) -> float:
    """Return the share of subjects that a decision's rule calls what most of their images are."""
    values = decision.subject_values(subjects, ill)
    truth = majority(subjects, is_ill)
    return float(((values >= decision.subject_threshold) == truth).mean())


def majority(subjects: Sequence[str], is_ill: NDArray[np.bool_]) -> "pd.Series[bool]":
    """Return by subject, in order of names, whether at least half of its images are of ill classes."""
    import pandas as pd

    return pd.Series(is_ill.astype(float)).groupby(np.asarray(subjects)).mean() >= 0.5


def _best(table: "pd.DataFrame", score: str) -> float:
    """Return the threshold of the best score; of equal ones the middle one."""
    best = table["threshold"][table[score] >= table[score].max() - 1e-12]
    return float(best.iloc[(len(best) - 1) // 2])


def _values(rule: SubjectRule, threshold: float) -> Callable[[Any], "pd.Series[float]"]:
    def top(values: "pd.Series[float]") -> float:
        return float(values.nlargest(max(1, round(TOP_SHARE * len(values)))).mean())

    return {
        "mean": lambda groups: groups.mean(),
        "median": lambda groups: groups.median(),
        "share": lambda groups: groups.agg(lambda values: (values >= threshold).mean()),
        "top": lambda groups: groups.agg(top),
    }[rule]
