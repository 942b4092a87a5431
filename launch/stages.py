"""The stages from images to a judged model, each as arguments of the `hvdcells` command."""

from collections.abc import Mapping
from typing import Annotated, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import recipes
from hvdcells.runs.directory import RunDirectory

StageName = Literal["etl", "train", "evaluate", "report"]

SPLIT = "test"
PLACES = "Places"
"""A heading of the help."""

RECIPE_HELP = f"One of: {', '.join(recipes.RECIPES)}."
SETTINGS_HELP = (
    "Change one field of the recipe, such as optimizer.learning_rate=0.01 or data.batch_size=64; may be repeated. "
    "`hvdcells train DATASET RUN --list-fields` prints all fields with the recipe's values."
)

Recipe = Annotated[str, Field(description=RECIPE_HELP)]
Settings = Annotated[dict[str, str], typer.Option("--set", metavar="FIELD=VALUE"), Field(description=SETTINGS_HELP)]
_PLACE = typer.Option(rich_help_panel=PLACES)


def trusting(settings: Mapping[str, str]) -> list[str]:
    """Return the words with which a run is evaluated whose model a function of the user's builds."""
    module, colon, _ = settings.get("model.backbone", "").partition(":")
    return ["--trust-code", module] if colon else []


class Pipeline(BaseModel):
    """One dataset from a source and one run on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Images, as `hvdcells etl` takes them: a folder, a table, s3://…."""
    dataset: str
    """Where the dataset goes, or is: a folder or s3://…."""
    run: str
    """Where the run goes, or is: a folder or s3://…."""
    recipe: Recipe = "small_cnn"
    settings: Settings = {}

    def stages(self, num_workers: int) -> dict[StageName, list[str]]:
        """Return the command of each stage, in their order; each can be given again after an interruption."""
        changes = [word for field, value in self.settings.items() for word in ("--set", f"{field}={value}")]
        workers = ["--workers", str(num_workers)]
        # A run says where its dataset is, and is believed as far as that is beside it.
        where = [] if storage.is_near(self.dataset, self.run) else ["--dataset", self.dataset]
        return {
            "etl": ["etl", self.source, self.dataset, *workers],
            "train": ["train", self.dataset, self.run, "--resume", "--recipe", self.recipe, *workers, *changes],
            "evaluate": ["evaluate", self.run, "--split", SPLIT, *workers, *where, *trusting(self.settings)],
            "report": ["report", self.run, *where],
        }

    def is_done(self, stage: StageName) -> bool:
        """Whether nothing of a stage is left to do; the ETL stage itself knows better, and is asked unless trained."""
        run = RunDirectory.at(self.run)
        done = {
            "etl": run.finished,
            "train": run.finished,
            "evaluate": run.evaluation(SPLIT),
            "report": run.report,
        }[stage]
        return storage.exists(done)


class AskedPipeline(BaseModel):
    """What a user says of a pipeline in S3, where not every launch needs all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: Annotated[str | None, _PLACE] = None
    """Images: s3://...."""
    dataset: Annotated[str | None, _PLACE] = None
    """Where the dataset goes, or is: s3://...."""
    run: Annotated[str | None, _PLACE] = None
    """Where the run goes, or is: s3://...."""
    recipe: Recipe = "mobilenet_v2"
    settings: Settings = {}

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline, once `missing` has found nothing; without a source, the dataset is there already."""
        given = {name: getattr(self, name) for name in Pipeline.model_fields}
        return Pipeline.model_validate({**given, "source": self.source or self.dataset})


def beside(run: str, name: str) -> str:
    """Return a place beside a run."""
    return storage.join(run.rstrip("/").rpartition("/")[0], name)


def missing(**places: str | None) -> list[UserError]:
    """Return a problem for each place that is not given."""
    return [
        UserError(f"no --{name}", "an s3:// address", f"give --{name}") for name, place in places.items() if not place
    ]
