"""How a sweep finds its next trial: Optuna, asked and told, with its journal in the sweep's folder."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from hvdcells import storage
from hvdcells.errors import UserError

if TYPE_CHECKING:
    import optuna

Method = Literal["random", "grid", "bayes", "asha"]
JOURNAL_NAME = "search.jsonl"
REDUCTION = 3
"""Of the trials at a rung, ASHA lets the best third go on; each rung has three times the epochs of the one before."""
FIRST_RUNG_EPOCHS = 2
"""The first epoch is the warm-up in most recipes, and tells little."""


class Search:
    """A study of Optuna over the fields of a sweep.

    Each trial is drawn by a sampler of its own, seeded by the sweep's seed and the trial's number, so that what was
    interrupted goes on with the trials that it would have had.

    Args:
        folder: of the sweep, local or not, which this process alone works on.
        space: by field a list of values, or a distribution as `search_space.parse_space` makes it.
        method: `random`; `grid`, each combination of the lists; `bayes`, a tree-structured Parzen estimator (Bergstra
            et al. 2011); `asha`, random with asynchronous successive halving (Li et al. 2020).
        num_trials: how many; None for all of a grid.
        seed: of the draw.

    Raises:
        UserError: Optuna is not installed, or the space does not fit the method.
    """

    def __init__(
        self, folder: str, space: Mapping[str, Any], method: Method, num_trials: int | None, seed: int
    ) -> None:
        self.method, self.seed = method, seed
        self.distributions = distributions_of(space)
        self._combinations = list(_combinations(space)) if method == "grid" else []
        self.num_trials = min(num_trials or len(self._combinations), len(self._combinations) or num_trials or 0)
        self._folder = folder
        self._study: optuna.Study | None = None

    @property
    def study(self) -> "optuna.Study":
        """The study, as far as the folder's journal tells it."""
        if self._study is None:
            optuna = imported()
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(_journal(storage.join(self._folder, JOURNAL_NAME))),
                study_name="sweep",
                direction="maximize",
                load_if_exists=True,
            )
        return self._study

    def ask(self, number: int) -> dict[str, Any]:
        """Return the values of the trial of a number, counted from 0: one that was asked for before, or the next."""
        optuna = imported()
        trials = self.study.get_trials(deepcopy=False)
        if number < len(trials):
            return dict(trials[number].params)
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        samplers = optuna.samplers
        self.study.sampler = (
            samplers.TPESampler(seed=seed) if self.method == "bayes" else samplers.RandomSampler(seed=seed)
        )
        if self._combinations:
            self.study.enqueue_trial(self._combinations[number])
        return dict(self.study.ask(fixed_distributions=self.distributions).params)

    def tell(self, number: int, state: Literal["finished", "pruned", "failed"], scores: Sequence[float]) -> None:
        """Note how a trial ended, unless that is noted.

        Args:
            number: of the trial.
            state: how it ended.
            scores: what its epochs came to, larger being better.
        """
        optuna = imported()
        states = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
        value = max(scores) if state == "finished" else None
        self.study.tell(number, value, optuna.trial.TrialState[states[state]], skip_if_finished=True)


def least_scores(reached: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Return what a trial must reach at each rung to go on, by ASHA's rule: to be of the best third that came to it.

    Args:
        reached: by rung, in epochs, the scores of the trials before that came to it; larger is better.
    """
    least = {}
    for rung, scores in reached.items():
        num_kept = max(1, (len(scores) + 1) // REDUCTION)
        if len(scores) >= num_kept:
            least[rung] = sorted(scores, reverse=True)[num_kept - 1]
    return least


def rungs(num_epochs: int) -> list[int]:
    """Return the epochs after which trials are compared, the last epoch left out."""
    found, epochs = [], FIRST_RUNG_EPOCHS
    while epochs < num_epochs:
        found.append(epochs)
        epochs *= REDUCTION
    return found


def distributions_of(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return Optuna's distribution for each field.

    Raises:
        UserError: Optuna is not installed, or a distribution is none of a whole number, a uniform or a log-uniform one.
    """
    distributions = imported().distributions
    found: dict[str, Any] = {}
    for field, choices in space.items():
        if not hasattr(choices, "rvs"):
            found[field] = distributions.CategoricalDistribution(tuple(choices))
            continue
        low, high = (value.item() if hasattr(value, "item") else value for value in choices.support())
        match choices.dist.name:
            case "randint":
                found[field] = distributions.IntDistribution(int(low), int(high))
            case "uniform":
                found[field] = distributions.FloatDistribution(float(low), float(high))
            case "loguniform" | "reciprocal":
                found[field] = distributions.FloatDistribution(float(low), float(high), log=True)
            case name:
                raise UserError(
                    f"the distribution {name} for {field}",
                    "a list of values, or scipy's randint, uniform or loguniform, as a search takes them",
                    "choose one of these, or draw at random without a search: num_random=…",
                )
    return found


def examples(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return trials that use each value of each list, and both ends of each range, at least once."""
    ends = {
        field: list(choices.support()) if hasattr(choices, "rvs") else list(choices) for field, choices in space.items()
    }
    longest = max(map(len, ends.values()))
    # The shorter ones are gone round; numpy's numbers are none that an experiment takes.
    plain = {
        field: [value.item() if hasattr(value, "item") else value for value in values] for field, values in ends.items()
    }
    return [{field: values[index % len(values)] for field, values in plain.items()} for index in range(longest)]


def check_search(space: Mapping[str, Any], method: str, num_trials: int | None) -> None:
    """Refuse, before anything is written, what no search can be made of.

    Raises:
        UserError: no such method, no field, no number of trials, or ranges for a grid.
    """
    if method not in get_args(Method):
        raise UserError(f"--search {method}", "one of " + ", ".join(get_args(Method)), "correct --search")
    if not space:
        raise UserError("no field to vary", "at least one", "name a field with --vary")
    ranges = [field for field, choices in space.items() if hasattr(choices, "rvs")]
    if method == "grid" and ranges:
        raise UserError(
            f"a range for {', '.join(ranges)} in a grid",
            "lists of values, whose combinations are all tried",
            "give values, or another --search",
        )
    if method != "grid" and num_trials is None:
        raise UserError(f"--search {method} without a number of trials", "how many to try", "add --trials N")


def imported() -> Any:
    """Return Optuna.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "--search needs Optuna, which is not installed",
            "hvdcells with the extra `search`",
            "pip install 'hvdcells[search]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _combinations(space: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return (dict(zip(space, values, strict=True)) for values in itertools.product(*space.values()))


def _journal(location: str) -> Any:
    """Return Optuna's journal as JSON lines, in a file that one process writes, whole each time: so in S3, too."""

    def lines() -> list[dict[str, Any]]:
        return list(map(json.loads, storage.read_text(location).splitlines())) if storage.exists(location) else []

    class Journal(imported().storages.journal.BaseJournalBackend):  # type: ignore[misc]
        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return lines()[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            storage.write_text(location, "".join(json.dumps(line) + "\n" for line in (*lines(), *logs)))

    return Journal()
