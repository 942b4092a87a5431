"""What a container is to do: the hyper-parameters of a training job as commands of `hvdcells`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hvdcells import storage
from hvdcells.errors import UserError, problems_in, raise_together
from hvdcells.experiment import recipes
from hvdcells.secrets import without_secrets
from launch.sagemaker.container.contract import Container
from launch.stages import trusting

DATASET = "dataset"
"""Name of the input channel, and of the hyper-parameter that is used where there is no channel."""
OWN = (DATASET, "run", "runs", "recipe", "workers", "evaluate")
"""Hyper-parameters that are no fields of the experiment."""
JOB_NAME = "TRAINING_JOB_NAME"
"""Variable in which SageMaker gives the job's name, the same after an interruption."""


@dataclass(frozen=True)
class TrainingTask:
    """A training as the hyper-parameters ask for it."""

    dataset: str
    run: str
    recipe: str
    settings: Mapping[str, str]
    workers: int
    evaluate: str | None
    """Split that the kept model is judged on at the end."""

    def commands(self, where: list[str]) -> list[list[str]]:
        """Return the arguments of `hvdcells`, one list after the other; `where` names the Spark master."""
        changes = [word for field, value in self.settings.items() for word in ("--set", f"{field}={value}")]
        workers = ["--workers", str(self.workers)]
        train = ["train", self.dataset, self.run, "--resume", "--recipe", self.recipe, *workers, *changes, *where]
        if self.evaluate is None:
            return [train]
        # In one process on the first host: starting ranks would take longer than a test split does.
        judge = ["evaluate", self.run, "--dataset", self.dataset, "--split", self.evaluate, *trusting(self.settings)]
        return [train, judge]


def training_task(container: Container, environ: Mapping[str, str], num_slots: int) -> TrainingTask:
    """Return what the hyper-parameters ask for.

    Args:
        container: with the hyper-parameters, all of them text.
        environ: variables, with the job's name.
        num_slots: ranks that all hosts together can run.

    Raises:
        UserError: what is missing, unknown or does not fit; all of it together.
    """
    # SageMaker's own names, such as _tuning_objective_metric, begin with an underscore.
    given = {name: _plain(text) for name, text in container.hyperparameters.items() if not name.startswith("_")}
    own = {name: given.pop(name) for name in OWN if name in given}
    recipe = own.get("recipe", "small_cnn")
    problems: list[UserError] = []
    try:
        recipes.by_name(recipe).override(given)
    except UserError as error:
        problems += problems_in(error)
    workers = _number(own.get("workers"), num_slots, problems)
    dataset, run = _dataset(container, own, problems), _run(own, environ, problems)
    problems += [
        UserError(
            f"the address {without_secrets(place)}",
            "no password and no signature in it: it is written into the run",
            "leave it out; rights come from the job's role",
        )
        for place in filter(None, (dataset, run))
        if without_secrets(place) != place
    ]
    raise_together(problems)
    return TrainingTask(dataset, run, recipe, given, workers, own.get("evaluate"))


def _plain(text: str) -> str:
    """Return a value without the quotes that SageMaker's Python SDK puts around texts."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return str(json.loads(text))
    return text


def _number(text: str | None, default: int, problems: list[UserError]) -> int:
    if text is None:
        return default
    if text.isdecimal() and 1 <= int(text) <= default:
        return int(text)
    problems.append(UserError(f"workers={text!r}", f"1 to {default}, the ranks that these hosts run", "correct it"))
    return 1


def _dataset(container: Container, own: Mapping[str, str], problems: list[UserError]) -> str:
    if DATASET in container.channels:
        return str(container.channels[DATASET])
    if DATASET not in own:
        problems.append(
            UserError("no dataset", f"an input channel named {DATASET!r}, or s3://…", f"add it, or set {DATASET}")
        )
    return own.get(DATASET, "")


def _run(own: Mapping[str, str], environ: Mapping[str, str], problems: list[UserError]) -> str:
    if "run" in own and "runs" not in own:
        return own["run"]
    name = environ.get(JOB_NAME)
    if "runs" in own and "run" not in own and name:
        return storage.join(own["runs"], name)
    shown = without_secrets(", ".join(f"{each}={own[each]}" for each in ("run", "runs") if each in own)) or "no run"
    problems.append(
        UserError(
            shown + ("" if name else f", and {JOB_NAME} is not set"),
            "run, where the run goes, or runs, below which each job of a tuning has its own, by the job's name",
            "set one of the two",
        )
    )
    return ""
