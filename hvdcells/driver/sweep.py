"""Sweeps: one experiment with some fields varied, trained one after another. `sweep` tells it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.data.subset import open_for_training
from hvdcells.driver.runs_folder import Ranks, RunsFolder, plan_of, scores_of, train_unless_finished
from hvdcells.driver.train import check_trainable
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment
from hvdcells.experiment.search_space import draw_trials
from hvdcells.runs.lock import sole_owner
from hvdcells.runs.progress import monitored
from hvdcells.secrets import without_secrets
from hvdcells.spark.backends import Backend

SUMMARY_NAME = "sweep.json"
CAVEAT = (
    "All trials were judged on the same validation subjects, so the score of the best one flatters: judge it on the "
    "test split."
)


@dataclass(frozen=True)
class Trial:
    """One experiment of a sweep."""

    name: str
    """Of its run directory."""
    values: dict[str, Any]
    """What was varied: value by dotted field name."""
    state: Literal["waiting", "finished", "failed"] = "waiting"
    scores: dict[str, Any] | None = None
    """Validation scores of its best epoch, `loss` and `best_epoch`; None unless it is finished."""
    error: str | None = None
    """Why it failed, with the trace of the rank where there is one."""

    @property
    def reason(self) -> str:
        """Why it failed, in one line: the last of a trace is the error itself."""
        return self.error.strip().splitlines()[-1] if self.error else ""


@dataclass(frozen=True)
class Sweep:
    """What came out of a sweep."""

    location: str
    summary: str
    """Location of the JSON file with all of it."""
    monitor: str
    """The validation score by which the trials are ordered."""
    trials: list[Trial]
    """Best first; what failed comes last."""


@storage.user_errors()
def sweep(
    dataset: Dataset | str | os.PathLike[str],
    runs: str | os.PathLike[str],
    experiment: Experiment,
    vary: Mapping[str, Any],
    *,
    num_random: int | None = None,
    seed: int = 0,
    workers: int = 2,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Sweep:
    """Train an experiment with some of its fields varied, one run after another on one Spark session.

    Trials that are done are kept: the same call goes on after an interruption, and tries again what failed. A trial
    that fails is noted, and the others go on.

    Args:
        dataset: a finished dataset, or its location.
        runs: folder for the runs `trial-001`, … and the summary `sweep.json`.
        experiment: what the trials have in common.
        vary: by dotted field name a list of values, or a distribution of scipy to draw from.
        num_random: trials drawn at random; None for all combinations of the lists.
        seed: of the draw.
        workers: ranks; see `hvdcells.train`.
        master: Spark master; see `hvdcells.train`.
        backend: another way to run the ranks.
        conf: Spark settings; see `hvdcells.train`.
        say: told what goes on, line by line.

    Raises:
        UserError: unknown fields, values that do not fit, a dataset that cannot be trained on, or `runs` holds
            something else. Nothing is written then.
    """
    dataset = Dataset.open(dataset.location if isinstance(dataset, Dataset) else dataset)
    ranks, folder = Ranks(workers, master, backend, conf), RunsFolder.at(runs, SUMMARY_NAME)
    drawn = draw_trials(vary, num_random, seed)
    experiments = check_trials(experiment, drawn)
    seen = {(each.data.validation_fold, each.data.train_fraction, each.seed): each for each in experiments}
    for each in seen.values():
        check_trainable(open_for_training(dataset.location, each), ranks.num_workers)
    ranks.check()
    plan = plan_of(dataset, experiment, trials=drawn)
    folder.check(plan)

    width = max(3, len(str(len(drawn))))
    trials = [Trial(f"trial-{number:0{width}}", values) for number, values in enumerate(drawn, start=1)]
    result = Sweep(folder.location, folder.summary, experiment.training.monitor, trials)
    with sole_owner(folder.location), ranks.one_session():
        for number, (trial, of_trial) in enumerate(zip(trials, experiments, strict=True)):
            write_sweep(folder, result, plan, dataset)
            say(f"{trial.name} of {len(trials)}: {in_words(trial.values)}")
            trials[number] = _carry_out(trial, folder, dataset, of_trial, ranks)
            if trials[number].error:
                say(f"{trial.name} failed: {trials[number].reason}")
    result = replace(result, trials=sorted(trials, key=lambda trial: _rank_of(trial, result.monitor)))
    write_sweep(folder, result, plan, dataset)
    return result


def check_trials(experiment: Experiment, drawn: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """Return the experiment of each trial.

    Raises:
        UserError: unknown fields or values that do not fit, all of them together; or the score to compare by is varied.
    """
    if any("training.monitor" in values for values in drawn):
        raise UserError(
            "training.monitor is varied",
            "one score by which all trials are compared",
            "choose it with --set training.monitor=…",
        )
    experiments, problems = [], {}
    for values in drawn:
        try:
            experiments.append(experiment.override(values))
        except UserError as error:
            problems[str(error)] = error
    raise_together(problems.values())
    return experiments


def _carry_out(trial: Trial, folder: RunsFolder, dataset: Dataset, experiment: Experiment, ranks: Ranks) -> Trial:
    """Train one trial; whatever goes wrong in it is its result."""
    run = folder.run(trial.name)
    try:
        train_unless_finished(run, dataset, experiment, ranks)
    except Exception as error:
        return replace(
            trial,
            state="failed",
            error=without_secrets(error.given if isinstance(error, UserError) else f"{type(error).__name__}: {error}"),
        )
    return replace(trial, state="finished", scores=scores_of(run))


def _rank_of(trial: Trial, monitor: str) -> tuple[bool, float, float]:
    """Return what orders the trials: finished before failed, the larger score first, then the smaller loss."""
    if trial.scores is None:
        return True, 0.0, 0.0
    score, negative_loss = monitored(trial.scores, monitor)
    return False, -score, -negative_loss


def write_sweep(folder: RunsFolder, result: Sweep, plan: dict[str, Any], dataset: Dataset) -> None:
    """Write `sweep.json`: the trials as far as they are known."""
    notice = {"notice": SYNTHETIC_NOTICE} if dataset.manifest.synthetic else {}
    trials = [asdict(trial) for trial in result.trials]
    folder.write({**notice, "caveat": CAVEAT, "monitor": result.monitor, "trials": trials, "plan": plan})


def in_words(values: Mapping[str, Any]) -> str:
    """Return the varied values as they are given on the command line."""
    return " ".join(f"{field}={value}" for field, value in values.items())
