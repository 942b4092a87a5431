"""Choose what a finished run calls ill, and say what it comes to. Needs neither the model nor TensorFlow."""

import os
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.report import renew_report
from hvdcells.runs.decision import choose_decision, judge_decision, read_decision
from hvdcells.runs.directory import RunDirectory

if TYPE_CHECKING:
    from hvdcells.scores.decision import Decision


@storage.user_errors()
def decide(run: RunDirectory | str | os.PathLike[str], **options: Any) -> "Decision":
    """Choose temperature, threshold, refer band and subject rule of a finished run on its validation images.

    Predictions made later use them, and the report shows what they come to on each split that has been evaluated.

    Args:
        run: a finished run.
        options: `at_sensitivity`, `at_specificity`, `choose`, `refer_share` and `subject_rule` of
            `hvdcells.scores.decision.decide`.

    Raises:
        UserError: no finished run, or options that do not fit it.
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory.at(run)
    directory.check_finished()
    decision = choose_decision(directory, **options)
    renew_report(directory)
    return decision


@storage.user_errors()
def judge(run: RunDirectory | str | os.PathLike[str], name: str = "test") -> tuple[dict[str, Any], str]:
    """Return what a run's decision comes to on one of its evaluations, as `scores.decision_scores.judge` does.

    Args:
        run: a finished run.
        name: of a split, or of the evaluation of another dataset.

    Returns:
        What it comes to, and the name of the threshold in use.

    Raises:
        UserError: the run has no decision, or no such evaluation.
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory.at(run)
    if not storage.exists(directory.predictions(name)):
        raise UserError(
            f"the run {directory.location} holds no predictions of {name}",
            f"one of {', '.join(directory.evaluations())}",
            f"evaluate it first: hvdcells evaluate {directory.location}",
        )
    return judge_decision(directory, name), read_decision(directory)[0].chosen
