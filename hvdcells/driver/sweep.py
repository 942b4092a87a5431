"""Sweeps: one experiment with some fields varied, trained one after another. `sweep` tells it."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.data.subset import open_for_training
from hvdcells.driver.runs_folder import Ranks, RunsFolder, plan_of, scores_of, train_unless_finished
from hvdcells.driver.search import Method, Search, check_search, examples, least_scores, rungs
from hvdcells.driver.train import check_trainable
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment
from hvdcells.experiment.search_space import draw_trials
from hvdcells.runs.directory import RunDirectory
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
    state: Literal["waiting", "finished", "pruned", "failed"] = "waiting"
    """`pruned`: ended early, since it lagged behind the trials before it."""
    scores: dict[str, Any] | None = None
    """Validation scores of its best epoch, `loss` and `best_epoch`; None unless it is finished."""
    error: str | None = None
    """Why it failed, with the trace of the rank where there is one."""
    epochs: int | None = None
    """How many it was trained."""

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
    """Best first, then what was pruned; what failed comes last."""


@storage.user_errors()
def sweep(
    dataset: Dataset | str | os.PathLike[str],
    runs: str | os.PathLike[str],
    experiment: Experiment,
    vary: Mapping[str, Any],
    *,
    num_random: int | None = None,
    search: Method | None = None,
    num_trials: int | None = None,
    seed: int = 0,
    workers: int = 2,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    track: str | None = None,
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
        num_random: trials drawn at random, without Optuna; None for all combinations of the lists.
        search: how Optuna (extra `search`) finds the next trial, by what those before it came to: see `Search`.
        num_trials: of the search; None for all of a grid.
        seed: of the draw.
        workers: ranks; see `hvdcells.train`.
        master: Spark master; see `hvdcells.train`.
        backend: another way to run the ranks.
        conf: Spark settings; see `hvdcells.train`.
        track: a server that is told of each run, below one of the folder; see `hvdcells.train`.
        say: told what goes on, line by line.

    Raises:
        UserError: unknown fields, values that do not fit, a dataset that cannot be trained on, or `runs` holds
            something else. Nothing is written then.
    """
    dataset = Dataset.open(dataset.location if isinstance(dataset, Dataset) else dataset)
    ranks, folder = Ranks(workers, master, backend, conf, track), RunsFolder.at(runs, SUMMARY_NAME)
    source: _Drawn | _Searched
    if search is None:
        source = _Drawn(draw_trials(vary, num_random, seed))
    else:
        check_search(vary, search, num_trials)
        source = _Searched(Search(folder.location, vary, search, num_trials, seed), experiment)
    experiments = check_trials(experiment, source.examples(vary))
    seen = {(each.data.validation_fold, each.data.train_fraction, each.seed): each for each in experiments}
    for each in seen.values():
        check_trainable(open_for_training(dataset.location, each), ranks.num_workers)
    ranks.check()
    plan = plan_of(dataset, experiment, **source.plan)
    folder.check(plan)

    width = max(3, len(str(source.num_trials)))
    trials = [Trial(f"trial-{number:0{width}}", values) for number, values in enumerate(source.known, start=1)]
    result = Sweep(folder.location, folder.summary, experiment.training.monitor, trials)
    with sole_owner(folder.location), ranks.one_session(folder.location) as ranks:
        for number in range(source.num_trials):
            write_sweep(folder, result, plan, dataset)
            values = source.ask(number)
            if number == len(trials):
                trials.append(Trial(f"trial-{number + 1:0{width}}", values))
            trial = trials[number]
            say(f"{trial.name} of {source.num_trials}: {in_words(values)}")
            of_trial = experiment.override(values)
            trials[number] = _carry_out(trial, folder, dataset, of_trial, ranks, source.least_scores)
            source.tell(number, trials[number], folder.run(trial.name))
            if trials[number].error:
                say(f"{trial.name} failed: {trials[number].reason}")
            if trials[number].state == "pruned":
                say(f"{trial.name} lagged behind: ended after {trials[number].epochs} epochs")
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


class _Drawn:
    """Trials that are all known before the first."""

    def __init__(self, trials: list[dict[str, Any]]) -> None:
        self.known, self.num_trials = trials, len(trials)
        self.plan: dict[str, Any] = {"trials": trials}
        self.least_scores: dict[int, float] = {}

    def examples(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.known

    def ask(self, number: int) -> dict[str, Any]:
        return self.known[number]

    def tell(self, number: int, trial: Trial, run: RunDirectory) -> None:
        pass


class _Searched:
    """Trials each of which depends on what those before it came to."""

    known: Sequence[dict[str, Any]] = ()

    def __init__(self, search: Search, experiment: Experiment) -> None:
        self._search, self._training = search, experiment.training
        self.num_trials = search.num_trials
        fields = {name: repr(of_field) for name, of_field in search.distributions.items()}
        self.plan = {"search": search.method, "fields": fields, "num_trials": search.num_trials, "seed": search.seed}
        self._reached: dict[int, list[float]] = {}

    def examples(self, space: Mapping[str, Any]) -> list[dict[str, Any]]:
        return examples(space)

    @property
    def least_scores(self) -> dict[int, float]:
        return least_scores(self._reached)

    def ask(self, number: int) -> dict[str, Any]:
        return self._search.ask(number)

    def tell(self, number: int, trial: Trial, run: RunDirectory) -> None:
        scores = []
        if trial.state in ("finished", "pruned"):
            monitor = self._training.monitor
            scores = [monitored(line["validation"], monitor)[0] for line in run.read_metrics()]
            if self._training.select == "best":
                scores = list(itertools.accumulate(scores, max))
            if self._search.method == "asha":
                for rung in rungs(self._training.epochs):
                    if rung <= len(scores):
                        self._reached.setdefault(rung, []).append(scores[rung - 1])
        if trial.state != "waiting":
            self._search.tell(number, trial.state, scores)


def _carry_out(
    trial: Trial,
    folder: RunsFolder,
    dataset: Dataset,
    experiment: Experiment,
    ranks: Ranks,
    least: Mapping[int, float],
) -> Trial:
    """Train one trial; whatever goes wrong in it is its result."""
    run = folder.run(trial.name)
    try:
        train_unless_finished(run, dataset, experiment, ranks, least)
    except Exception as error:
        return replace(
            trial,
            state="failed",
            error=without_secrets(error.given if isinstance(error, UserError) else f"{type(error).__name__}: {error}"),
        )
    finished = run.read_json(run.finished)
    state: Literal["pruned", "finished"] = "pruned" if finished.get("fell_behind") else "finished"
    return replace(trial, state=state, scores=scores_of(run), epochs=finished["epochs"])


def _rank_of(trial: Trial, monitor: str) -> tuple[int, float, float]:
    """Return what orders the trials: finished, pruned, failed; the larger score first, then the smaller loss."""
    if trial.scores is None:
        return 2, 0.0, 0.0
    score, negative_loss = monitored(trial.scores, monitor)
    return int(trial.state == "pruned"), -score, -negative_loss


def write_sweep(folder: RunsFolder, result: Sweep, plan: dict[str, Any], dataset: Dataset) -> None:
    """Write `sweep.json`: the trials as far as they are known."""
    notice = {"notice": SYNTHETIC_NOTICE} if dataset.manifest.synthetic else {}
    trials = [asdict(trial) for trial in result.trials]
    folder.write({**notice, "caveat": CAVEAT, "monitor": result.monitor, "trials": trials, "plan": plan})


def in_words(values: Mapping[str, Any]) -> str:
    """Return the varied values as they are given on the command line."""
    return " ".join(f"{field}={value_in_words(value)}" for field, value in values.items())


def value_in_words(value: Any) -> str:
    """Return a value that was tried, a number with few digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
