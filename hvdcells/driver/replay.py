"""Training a run again from its own directory, and telling whether it comes to the same weights. `replay` tells it."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.driver.train import train
from hvdcells.errors import UserError
from hvdcells.experiment import flattened
from hvdcells.experiment.trust import check_trusted
from hvdcells.runs.directory import RunDirectory, damage_told
from hvdcells.runs.earlier_run import digest_as_trained
from hvdcells.spark.backends import Backend

COMPARED = ("loss", "gradient_norm", "learning_rate", "images", "steps", "validation")
"""Of an epoch's record: what is computed, and not how long it took."""
OF_ENVIRONMENT = ("hvdcells", "commit", "python", "versions", "driver", "backend", "workers")


@dataclass(frozen=True)
class Replay:
    """What came out of training a run again."""

    run: RunDirectory
    """The new run."""
    is_same: bool
    """Whether the last weights are the same bit by bit."""
    first_difference: str | None
    """The first epoch whose figures differ, and in what; None where none does."""
    environment: list[str]
    """What the two runs did not have in common: versions, machine, back end."""


@storage.user_errors()
def replay(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dataset: str | os.PathLike[str] | None = None,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    trust_code: Collection[str] = (),
) -> Replay:
    """Train a finished run again, from what its directory says, and compare.

    Args:
        run: a finished run.
        out: where the new run directory is made.
        dataset: where the run's dataset lies now; None for where it lay then.
        master: Spark master; see `hvdcells.train`.
        backend: another way to run the ranks, as many as the run had.
        conf: Spark settings; see `hvdcells.train`.
        trust_code: modules of which the run may name a function to build its model with.

    Raises:
        UserError: no finished run is there, its dataset is gone or another one now, or it was ended early by a sweep.
    """
    first = RunDirectory.at(run)
    experiment = first.read_experiment()
    check_trusted(experiment, first.experiment, trust_code)
    with damage_told(first.location):
        card, finished = first.read_json(first.run), first.read_json(first.finished)
        lay_then, digest, workers = card["dataset"]["location"], card["dataset"]["digest"], int(card["workers"])
    if finished.get("fell_behind"):
        raise UserError(
            f"{first.location} was ended early, as a trial that lagged behind others",
            "a run that depends on nothing but what its directory says",
            "replay a trial that was finished, or train the experiment.json of this one as a run of its own",
        )
    found = Dataset.open(dataset or lay_then, experiment.data.validation_fold)
    if digest_as_trained(found, experiment) != digest:
        raise UserError(
            f"the dataset {found.location} is not the one that {first.location} was trained on",
            "the same images, splits and order as then",
            "name a copy of the run's own dataset with --dataset",
        )
    again = train(found, out, experiment, workers=workers, master=master, backend=backend, conf=conf)
    ended = again.read_json(again.finished)
    return Replay(
        run=again,
        is_same=ended["weights_digest"] == finished["weights_digest"],
        first_difference=first_difference(first.read_metrics(), again.read_metrics()),
        environment=differences(card, again.read_json(again.run)),
    )


def first_difference(first: list[dict[str, Any]], again: list[dict[str, Any]]) -> str | None:
    """Return the first epoch whose figures differ to the last bit, and in what; None where none does."""
    for number, (one, other) in enumerate(zip_longest(first, again), start=1):
        if one is None or other is None:
            return f"epoch {number}: only one of the runs has it"
        then, now = (flattened({name: record.get(name) for name in COMPARED}) for record in (one, other))
        differing = [
            f"{name} {then.get(name)} then, {now.get(name)} now" for name in then if then[name] != now.get(name)
        ]
        if differing:
            return f"epoch {number}: " + "; ".join(differing)
    return None


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in what the surroundings of two runs differ, by their `run.json`."""
    flat = [flattened({name: card.get(name) for name in OF_ENVIRONMENT}) for card in (then, now)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    return [f"{n}: {flat[0].get(n)} then, {flat[1].get(n)} now" for n in names if flat[0].get(n) != flat[1].get(n)]
