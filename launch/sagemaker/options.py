"""What a user asks of SageMaker."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import recipes
from hvdcells.experiment.search_space import parse_space
from launch.aws.buckets import bucket_and_key
from launch.stages import Pipeline

JobStage = Literal["etl", "train", "tune"]
STAGES: tuple[JobStage, ...] = ("etl", "train", "tune")
LONGEST_HOURS = 28 * 24
LONGEST_PROCESSING_HOURS = 9 * 24
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/\S+")


@dataclass(frozen=True)
class Tuning:
    """What a tuning varies and how far it goes.

    Args:
        vary: texts `FIELD=VALUE,VALUE,…`, `FIELD=LOW..HIGH` or `FIELD=LOW..HIGH:log`, as `hvdcells sweep` takes them.
        jobs: trainings in all.
        parallel: trainings at once.
        strategy: how SageMaker chooses the next values.
    """

    vary: tuple[str, ...] = ()
    jobs: int = 12
    parallel: int = 2
    strategy: Literal["Bayesian", "Random", "Grid"] = "Bayesian"

    @property
    def num_trainings(self) -> int:
        """Trainings in all; a grid has as many as it has combinations."""
        if self.strategy != "Grid":
            return self.jobs
        return math.prod(len(choices) for choices in parse_space(self.vary).values() if isinstance(choices, list))


@dataclass(frozen=True)
class SageMakerLaunch:
    """All that a launch on SageMaker is made of.

    Args:
        pipeline: source, dataset, run and experiment; all places in S3. A tuning has its runs below the run's place.
        image: address in ECR of the image that every job runs.
        role: ARN of the role whose rights the jobs have.
        region: where the machines run.
        output: `s3://` address below which SageMaker puts `JOB/output/model.tar.gz`.
        stages: the jobs, in their order.
        instance: type of the training machines, such as `g4dn.xlarge`.
        machines: training machines.
        etl_instance: type of the ETL's machines.
        etl_machines: machines of the ETL.
        etl_arguments: more words for `hvdcells etl`, such as `--image-size`.
        tuning: of the stage `tune`.
        spot: train on spot machines, which may be taken away; SageMaker starts the job again and it goes on.
        max_hours: of a job; SageMaker stops it then.
        max_wait_hours: on spot, of a job with its waiting for machines; None for twice `max_hours`.
        volume_gib: disk of each machine.
        input_mode: `File` copies the dataset to every machine first, `FastFile` reads it as it goes.
        subnets: for machines in the user's own network; with `security_groups`, or neither.
        security_groups: must let the machines of a job talk to each other.
        encrypt_traffic: between the machines of a job.
        kms_key: that what is written to S3 is encrypted with; None for S3's own keys.
        tags: of the jobs.
    """

    pipeline: Pipeline
    image: str
    role: str
    region: str
    output: str
    stages: tuple[JobStage, ...] = ("etl", "train")
    instance: str = "g4dn.xlarge"
    machines: int = 1
    etl_instance: str = "m5.2xlarge"
    etl_machines: int = 1
    etl_arguments: tuple[str, ...] = ()
    tuning: Tuning = Tuning()
    spot: bool = False
    max_hours: float = 12.0
    max_wait_hours: float | None = None
    volume_gib: int = 100
    input_mode: Literal["File", "FastFile"] = "File"
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    encrypt_traffic: bool = False
    kms_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

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
        if "tune" in self.stages and not 1 <= self.tuning.parallel <= self.tuning.num_trainings:
            problems.append(
                UserError(
                    f"--parallel {self.tuning.parallel} of {self.tuning.num_trainings} trainings",
                    "at least 1, at most all of them: --jobs, or the combinations of a grid",
                    "correct them",
                )
            )
        return problems

    def _wrong_experiment(self) -> list[UserError]:
        """Look at the experiment here: in a container its mistakes would cost the start of a machine."""
        try:
            settings = settings_of(self.pipeline)
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
        except UserError as error:
            return list(getattr(error, "problems", (error,)))
        return []


def settings_of(pipeline: Pipeline) -> dict[str, str]:
    """Return the pipeline's `FIELD=VALUE` texts as a dictionary."""
    return dict(setting.split("=", 1) for setting in pipeline.settings)
