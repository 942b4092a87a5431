"""What a user asks of SageMaker."""

import math
import re
import shlex
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hvdcells.errors import UserError, problems_in, raise_together
from hvdcells.experiment import recipes
from hvdcells.experiment.search_space import parse_space
from launch.aws.buckets import bucket_and_key
from launch.aws.clients import default_region
from launch.stages import PLACES, AskedPipeline, Pipeline, beside, missing

JobStage = Literal["etl", "train", "tune"]
STAGES: tuple[JobStage, ...] = ("etl", "train", "tune")
LONGEST_HOURS = 28 * 24
LONGEST_PROCESSING_HOURS = 9 * 24
LONGEST_WARM_MINUTES = 360
"""Of `KeepAlivePeriodInSeconds`, in botocore's model."""
MOST_TYPES = 5
"""Of `InstancePreferences`, in botocore's model."""
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/\S+")

_PLACE = typer.Option(rich_help_panel=PLACES)
_MACHINES = typer.Option(rich_help_panel="Machines")
_TUNING = typer.Option(rich_help_panel="Tuning")
_ACCOUNT = typer.Option(rich_help_panel="Account")


class Tuning(BaseModel):
    """What a tuning varies and how far it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    vary: Annotated[tuple[str, ...], typer.Option(metavar="FIELD=VALUES", rich_help_panel="Tuning")] = ()
    """What is varied: FIELD=VALUE,VALUE,…, FIELD=LOW..HIGH or FIELD=LOW..HIGH:log, as for `hvdcells sweep`; may be
    repeated."""
    jobs: Annotated[int, Field(ge=1), _TUNING] = 12
    """Trainings in all."""
    parallel: Annotated[int, Field(ge=1), _TUNING] = 2
    """Trainings at once."""
    strategy: Annotated[Literal["Bayesian", "Random", "Grid", "Hyperband"], _TUNING] = "Bayesian"
    """How SageMaker chooses the next values. Hyperband also stops trainings whose epochs lag behind."""
    min_epochs: Annotated[int, Field(ge=1), _TUNING] = 1
    """With Hyperband: no training is stopped before."""

    @property
    def num_trainings(self) -> int:
        """Trainings in all; a grid has as many as it has combinations."""
        if self.strategy != "Grid":
            return self.jobs
        return math.prod(len(choices) for choices in parse_space(self.vary).values() if isinstance(choices, list))


def _split(given: Any) -> Any:
    """Take words with commas between them apart."""
    return tuple(word.strip() for word in given.split(",")) if isinstance(given, str) else given


def _words(given: Any) -> Any:
    """Take the words of a command line apart."""
    return tuple(shlex.split(given)) if isinstance(given, str) else given


class AskedSageMaker(BaseModel):
    """What a user says of SageMaker's jobs; the rest follows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image: Annotated[str | None, _PLACE] = None
    """Image in ECR that every job runs; `hvdcells sagemaker image` says how to make it."""
    output: Annotated[str | None, _PLACE] = None
    """Where SageMaker puts models, as JOB/output/model.tar.gz: s3://.... Left out: beside the run."""
    stages: Annotated[tuple[str, ...], BeforeValidator(_split), typer.Option(parser=str, metavar="STAGE,STAGE")] = (
        "etl",
        "train",
    )
    """Of etl, train and tune: one job each, in this order. A tuning's runs go below --run."""
    etl_arguments: Annotated[
        tuple[str, ...],
        BeforeValidator(_words),
        typer.Option(parser=str, metavar="'--image-size 96 ...'"),
    ] = ()
    """More words for `hvdcells etl`, in quotes."""
    max_hours: float = 12.0
    """SageMaker stops a job after so long."""
    max_wait_hours: float | None = None
    """With --spot, with all waiting for machines. Left out: twice that."""
    input_mode: Literal["File", "FastFile"] = "File"
    """Copy the dataset to each machine first, or read as it goes."""
    instance: Annotated[str, _MACHINES] = "ml.g4dn.xlarge"
    """Type of the trainings' machines; ranks are as many as their GPUs."""
    or_instances: Annotated[tuple[str, ...], typer.Option("--or-instance", rich_help_panel="Machines")] = ()
    """Taken where there is none of --instance, in this order; may be repeated. Not with --spot, nor for tunings."""
    machines: Annotated[int, Field(ge=1), _MACHINES] = 1
    """Machines of a training."""
    keep_warm_minutes: Annotated[int, Field(ge=0), _MACHINES] = 0
    """Keep a training's machines for the next one so long, paid for; not with --spot or --or-instance."""
    etl_instance: Annotated[str, _MACHINES] = "ml.m5.2xlarge"
    """Type of the ETL's machines."""
    etl_machines: Annotated[int, Field(ge=1), _MACHINES] = 1
    """Machines of the ETL."""
    spot: Annotated[bool, _MACHINES] = False
    """Train on spot machines, which may be taken away; interrupted jobs go on."""
    volume_gib: Annotated[int, Field(ge=10), _MACHINES] = 100
    """Disk of each machine, in GiB."""
    role: Annotated[str | None, _ACCOUNT] = None
    """ARN of the role whose rights the jobs have."""
    region: Annotated[str | None, _ACCOUNT] = None
    """Left out: that of the environment or the AWS profile."""
    subnets: Annotated[tuple[str, ...], typer.Option("--subnet", rich_help_panel="Account")] = ()
    """For machines in a network of yours, with --security-group; may be repeated."""
    security_groups: Annotated[tuple[str, ...], typer.Option("--security-group", rich_help_panel="Account")] = ()
    """With --subnet; they must let the machines of a job talk to each other; may be repeated."""
    encrypt_traffic: Annotated[bool, _ACCOUNT] = False
    """Encrypt what the machines of a job tell each other; slower."""
    kms_key: Annotated[str | None, _ACCOUNT] = None
    """KMS key for all that is written; else S3's own keys."""
    tags: Annotated[dict[str, str], typer.Option("--tag", metavar="KEY=VALUE", rich_help_panel="Account")] = {}
    """Of the jobs; may be repeated."""

    def launch(self, asked: AskedPipeline, tuning: Tuning) -> "SageMakerLaunch":
        """Return a launch with nothing left open.

        Raises:
            UserError: what is missing and which stages there are not, together; or there is no region.
        """
        problems = missing(dataset=asked.dataset, run=asked.run)
        if "etl" in self.stages:
            problems += missing(source=asked.source)
        for name, expected in (("image", "an image in ECR"), ("role", "the ARN of a role")):
            if not getattr(self, name):
                problems.append(UserError(f"no --{name}", expected, f"give --{name}"))
        if not set(self.stages) <= set(STAGES) or len(set(self.stages)) < len(self.stages):
            given, expected = ",".join(self.stages), f"some of {','.join(STAGES)}, each once"
            problems.append(UserError(f"--stages {given}", expected, "correct --stages"))
        raise_together(problems)
        pipeline = asked.pipeline
        settled = {
            "stages": tuple(stage for stage in STAGES if stage in self.stages),
            "output": self.output or beside(pipeline.run, "sagemaker"),
            "region": self.region or default_region(),
        }
        return SageMakerLaunch(**{**self.model_dump(), **settled}, pipeline=pipeline, tuning=tuning)


class SageMakerLaunch(AskedSageMaker):
    """All that a launch on SageMaker is made of; all its places are in S3."""

    pipeline: Pipeline
    """A tuning has its runs below the run's place."""
    image: str
    role: str
    region: str
    output: str
    stages: tuple[JobStage, ...] = ("etl", "train")
    tuning: Tuning = Tuning()

    @property
    def epochs(self) -> int:
        """How many a training of this experiment takes at most."""
        return recipes.by_name(self.pipeline.recipe).override(self.pipeline.settings).training.epochs

    @property
    def wait_hours(self) -> float:
        """How long a job on spot machines may take with all its waiting."""
        return 2 * self.max_hours if self.max_wait_hours is None else self.max_wait_hours

    def check(self) -> None:
        """Refuse what SageMaker would take minutes of paid machines to fail with.

        Raises:
            UserError: all that is wrong, together.
        """
        raise_together([*self._wrong_places(), *self._wrong_limits(), *self._wrong_experiment()])

    def _wrong_places(self) -> list[UserError]:
        problems = []
        places = {"--dataset": self.pipeline.dataset, "--run": self.pipeline.run, "--output": self.output}
        if "etl" in self.stages:
            places["--source"] = self.pipeline.source
        for option, place in places.items():
            try:
                bucket_and_key(place)
            except UserError as error:
                problems.append(UserError(f"{option}: {error.given}", error.expected, error.remedy))
        found = _ECR.fullmatch(self.image)
        if found is None or found[1] != self.region:
            problems.append(
                UserError(
                    f"--image {self.image}",
                    f"an image in ECR in {self.region}: ACCOUNT.dkr.ecr.{self.region}.amazonaws.com/NAME:TAG",
                    "build and push one: hvdcells sagemaker image FOLDER says how",
                )
            )
        if bool(self.subnets) != bool(self.security_groups):
            problems.append(
                UserError("--subnet or --security-group alone", "both or neither", "add the other, or leave both out")
            )
        return problems

    def _wrong_limits(self) -> list[UserError]:
        problems = []
        longest = LONGEST_PROCESSING_HOURS if "etl" in self.stages else LONGEST_HOURS
        if not 0 < self.max_hours <= longest:
            problems.append(
                UserError(f"--max-hours {self.max_hours:g}", f"above 0, at most {longest}", "correct --max-hours")
            )
        if self.spot and not self.max_hours <= self.wait_hours <= LONGEST_HOURS:
            problems.append(
                UserError(
                    f"--max-wait-hours {self.wait_hours:g} with --max-hours {self.max_hours:g}",
                    f"at least --max-hours, at most {LONGEST_HOURS}: it counts the training too",
                    "correct --max-wait-hours",
                )
            )
        problems += self._wrong_machines()
        if "tune" in self.stages and not 1 <= self.tuning.parallel <= self.tuning.num_trainings:
            problems.append(
                UserError(
                    f"--parallel {self.tuning.parallel} of {self.tuning.num_trainings} trainings",
                    "at least 1, at most all of them: --jobs, or the combinations of a grid",
                    "correct them",
                )
            )
        return problems

    def _wrong_machines(self) -> list[UserError]:
        """Look at what SageMaker's model does not say: what excludes what."""
        problems, expected = [], "one of them"
        if self.or_instances and self.spot:
            given = "--or-instance with --spot, which SageMaker does not take together"
            problems.append(UserError(given, expected, "leave one of them out"))
        if self.or_instances and len({self.instance, *self.or_instances}) < 1 + len(self.or_instances):
            given = f"--instance {self.instance} and --or-instance {', '.join(self.or_instances)}"
            problems.append(UserError(given, "each type once", "correct them"))
        if len(self.or_instances) >= MOST_TYPES:
            given = f"{1 + len(self.or_instances)} types of machines"
            problems.append(UserError(given, f"at most {MOST_TYPES}", "leave some --or-instance out"))
        if self.or_instances and "tune" in self.stages:
            given = "--or-instance for a tuning"
            problems.append(UserError(given, "one type for its trainings", "leave --or-instance or the tuning out"))
        if self.keep_warm_minutes > LONGEST_WARM_MINUTES:
            given = f"--keep-warm-minutes {self.keep_warm_minutes}"
            problems.append(UserError(given, f"at most {LONGEST_WARM_MINUTES}", "correct it"))
        if self.keep_warm_minutes and (self.spot or self.or_instances or "tune" in self.stages):
            given = "--keep-warm-minutes with --spot, --or-instance or a tuning"
            problems.append(UserError(given, "trainings on demand, on one type", "leave one of them out"))
        return problems

    def _wrong_experiment(self) -> list[UserError]:
        """Look at the experiment here: in a container its mistakes would cost the start of a machine."""
        try:
            settings = self.pipeline.settings
            experiment = recipes.by_name(self.pipeline.recipe).override(settings)
            if "tune" in self.stages:
                if not self.tuning.vary:
                    raise UserError("a tuning of no field", "at least one --vary", "name what to vary")
                for name, choices in parse_space(self.tuning.vary).items():
                    if self.tuning.strategy == "Grid" and not isinstance(choices, list):
                        raise UserError(f"a range for {name} in a grid", "lists of values", "give values, or no grid")
                    for value in choices if isinstance(choices, list) else choices.support():
                        experiment.override({name: value})
                    if name in settings:
                        raise UserError(f"--vary {name} and --set {name}", "one of them", "leave one of them out")
                if self.tuning.strategy == "Hyperband" and not self.tuning.min_epochs < self.epochs:
                    given = f"--min-epochs {self.tuning.min_epochs} of trainings of {self.epochs} epochs"
                    raise UserError(given, "fewer than all", "lower --min-epochs, or raise training.epochs")
        except UserError as error:
            return list(problems_in(error))
        return []
