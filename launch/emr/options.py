"""What a user asks of EMR."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hvdcells.errors import UserError, raise_together
from launch.aws.buckets import bucket_and_key
from launch.aws.clients import default_region
from launch.clusters.instances import Catalogue
from launch.clusters.spec import ClusterSpec
from launch.emr import releases
from launch.stages import PLACES, AskedPipeline, Pipeline, beside, missing

ROOT_GIB = 60
"""The system's disk: the environment with CUDA's libraries takes several GiB, packed and unpacked at once."""
MOST_TYPES = 5
"""Of one instance fleet."""
OLD_NETWORK = ("p2.", "p3.", "g3.", "g3s.", "m4.", "c4.", "r4.")
"""Machines before Nitro, which name their network interface otherwise than the others."""

_PLACE = typer.Option(rich_help_panel=PLACES)
_CLUSTER = typer.Option(rich_help_panel="Cluster")
_ACCOUNT = typer.Option(rich_help_panel="Account")


def _numbers(given: Any) -> Any:
    """Take a text such as `1,2,4,8` apart."""
    if not isinstance(given, str):
        return given
    if not all(word.strip().isdecimal() for word in given.split(",")):
        raise ValueError("numbers of workers such as 1,2,4,8")
    return tuple(map(int, given.split(",")))


class AskedStages(AskedPipeline):
    """What a cluster is to do."""

    bench: Annotated[tuple[int, ...], BeforeValidator(_numbers), typer.Option(parser=str, metavar="N,N,...")] = ()
    """Train for three epochs on each of these numbers of workers instead: 1,2,4,8."""


class AskedWorkers(BaseModel):
    """What a user says of a cluster's machines."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    gpus: Annotated[int, Field(ge=0), _CLUSTER] = 4
    """GPUs in all, a worker each; 0 for a cluster of CPUs."""
    workers: Annotated[Annotated[int, Field(ge=1)] | None, _CLUSTER] = None
    """Workers, without GPUs."""
    instance: Annotated[str | None, _CLUSTER] = None
    """Workers' machines. Left out: g4dn.xlarge, or m5.2xlarge without GPUs."""
    primary: Annotated[str, _CLUSTER] = "m5.xlarge"
    """The machine that drives."""
    spot: Annotated[bool, _CLUSTER] = False
    """Workers on spot machines, which may be taken away."""
    or_instances: Annotated[tuple[str, ...], typer.Option("--or-instance", rich_help_panel="Cluster")] = ()
    """With --spot: types that may come instead; may be repeated. One worker's machine is then on demand."""

    def cluster(self, table: Catalogue) -> ClusterSpec:
        """Return the cluster: a worker for each GPU.

        Raises:
            UserError: machines that do not have what is asked of them.
        """
        if self.gpus and self.workers and self.gpus != self.workers:
            raise UserError(
                f"--gpus {self.gpus} and --workers {self.workers}",
                "a worker for each GPU",
                "leave --workers out, or give --gpus 0",
            )
        chosen = self.instance or ("g4dn.xlarge" if self.gpus else "m5.2xlarge")
        if self.gpus and not table.named(chosen).num_gpus:
            raise UserError(
                f"--gpus {self.gpus} on {chosen}, which has none",
                "machines with GPUs",
                "correct --instance, or give --gpus 0",
            )
        raise_together(self._wrong_alternatives(chosen, table))
        return ClusterSpec.of(
            table,
            worker_instance=chosen,
            primary_instance=self.primary,
            num_executors=self.gpus or self.workers or 2,
            num_gpus=None if self.gpus else 0,
            price_model="spot" if self.spot else None,
        )

    def _wrong_alternatives(self, chosen: str, table: Catalogue) -> Iterator[UserError]:
        """Yield what keeps a fleet from being one: executors are sized for the chosen type, and fit all others."""
        if self.or_instances and not self.spot:
            yield UserError("--or-instance without --spot", "spot machines of several types", "add --spot")
        if len({chosen, *self.or_instances}) < 1 + len(self.or_instances) or len(self.or_instances) >= MOST_TYPES:
            given = f"--instance {chosen} and --or-instance {', '.join(self.or_instances)}"
            yield UserError(given, f"at most {MOST_TYPES} types, each once", "leave some out")
        wanted = table.named(chosen) if self.or_instances else None
        for name in self.or_instances:
            machine = table.named(name)
            if wanted and (
                machine.num_gpus != wanted.num_gpus
                or machine.vcpus < wanted.vcpus
                or machine.memory_gib < wanted.memory_gib
            ):
                yield UserError(
                    f"--or-instance {name}, with {machine.num_gpus} GPUs, {machine.vcpus} cores and "
                    f"{machine.memory_gib:g} GiB",
                    f"as many GPUs as {chosen} ({wanted.num_gpus}), and no fewer cores ({wanted.vcpus}) or GiB "
                    f"({wanted.memory_gib:g})",
                    "choose another type, or make the smallest one --instance",
                )


class AskedEmr(BaseModel):
    """What a user says of EMR and of the account; the rest follows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    environment: Annotated[str | None, _PLACE] = None
    """Wheels that nodes install from: s3://.... Left out: beside the run."""
    logs: Annotated[str | None, _PLACE] = None
    """Where EMR writes logs: s3://.... Left out: beside the run."""
    release: Annotated[str, _CLUSTER] = releases.DEFAULT
    """EMR's release label."""
    ebs_gib: Annotated[int, Field(ge=32), _CLUSTER] = 100
    """Disk of each machine for data, in GiB, beside that of its system."""
    keep: Annotated[bool, _CLUSTER] = False
    """Keep the cluster for more steps (--attach) and for notebooks, with one machine more for their service."""
    idle_minutes: Annotated[int, _CLUSTER] = 30
    """With --keep: EMR ends the cluster after so long."""
    region: Annotated[str | None, _ACCOUNT] = None
    """Left out: that of the environment or the AWS profile."""
    subnet: Annotated[str | None, _ACCOUNT] = None
    """Id of a subnet. Left out: one of the default network."""
    service_role: Annotated[str, _ACCOUNT] = "EMR_DefaultRole_V2"
    """Role that EMR acts in."""
    instance_profile: Annotated[str, _ACCOUNT] = "EMR_EC2_DefaultRole"
    """Profile with the machines' rights."""
    builder_profile: Annotated[str, _ACCOUNT] = "hvdcells_builder"
    """With --build-environment: profile of the machine that builds, which alone may write there."""
    key_name: Annotated[str | None, _ACCOUNT] = None
    """EC2 key pair for logins."""
    security_configuration: Annotated[str | None, _ACCOUNT] = None
    """EMR's security configuration: encryption of disks and transfer."""
    kms_key: Annotated[str | None, _ACCOUNT] = None
    """KMS key for what is uploaded; else S3's own keys."""
    tags: Annotated[dict[str, str], typer.Option("--tag", metavar="KEY=VALUE", rich_help_panel="Account")] = {}
    """Of the cluster and its machines; may be repeated."""

    def environment_build(self) -> "EmrCluster":
        """Return the settings of a cluster that builds the wheels.

        Raises:
            UserError: places are missing, or there is no region.
        """
        raise_together(missing(environment=self.environment, logs=self.logs))
        return EmrCluster.model_validate({**self.model_dump(), "region": self.region or default_region()})

    def launch(self, stages: AskedStages, cluster: ClusterSpec, or_instances: tuple[str, ...] = ()) -> "EmrLaunch":
        """Return a launch with nothing left open.

        Args:
            stages: what the cluster is to do.
            cluster: its machines.
            or_instances: types that may come instead of its workers'.

        Raises:
            UserError: places are missing, or there is no region.
        """
        raise_together(missing(source=stages.source, dataset=stages.dataset, run=stages.run))
        pipeline = stages.pipeline
        places = {
            "environment": self.environment or beside(pipeline.run, "hvdcells/environment"),
            "logs": self.logs or beside(pipeline.run, "hvdcells/logs"),
            "region": self.region or default_region(),
        }
        given = {**self.model_dump(), **places, "or_instances": or_instances}
        return EmrLaunch(**given, pipeline=pipeline, cluster=cluster, bench=stages.bench)


class EmrCluster(AskedEmr):
    """A cluster of EMR with nothing left open but what it does."""

    environment: str
    """`s3://` address of the wheelhouse that nodes install from."""
    logs: str
    """`s3://` address below which EMR writes logs."""
    region: str

    def check_addresses(self) -> None:
        """Refuse places that are not plain addresses in S3.

        Raises:
            UserError: all of them, together; what is secret in them is left out.
        """
        raise_together(self.wrong_addresses())

    @property
    def places(self) -> dict[str, str]:
        """The addresses in S3, by option."""
        return {"--environment": self.environment, "--logs": self.logs}

    def wrong_addresses(self) -> Iterator[UserError]:
        """Yield a problem for each place that is no plain address."""
        for option, place in self.places.items():
            try:
                bucket_and_key(place)
            except UserError as error:
                yield UserError(f"{option}: {error.given}", error.expected, error.remedy)


class EmrLaunch(EmrCluster):
    """All that a launch on EMR is made of."""

    pipeline: Pipeline
    cluster: ClusterSpec
    or_instances: tuple[str, ...] = ()
    """Types that may come instead of the workers'; with any of them the request is one of instance fleets."""
    bench: tuple[int, ...] = ()
    """Numbers of workers to train with for a few epochs each, instead of the stages after the ETL."""

    @property
    def places(self) -> dict[str, str]:
        """The addresses in S3, by option."""
        pipeline = {f"--{name}": getattr(self.pipeline, name) for name in ("source", "dataset", "run")}
        return {**pipeline, **super().places}

    def check(self) -> None:
        """Refuse what EMR would take hours to fail with.

        Raises:
            UserError: all that is wrong, together.
        """
        problems = list(self.wrong_addresses())
        workers, primary = self.cluster.worker_instance, self.cluster.primary_instance
        if workers.startswith(OLD_NETWORK) != primary.startswith(OLD_NETWORK):
            problems.append(
                UserError(
                    f"{workers} machines beside a {primary}: one names its network interface eth0, the other ens5",
                    "one name on all machines: Horovod talks over interfaces that all have",
                    "use g4dn or newer machines with an m5 or newer, or set --primary to a machine of the same age",
                )
            )
        if self.or_instances and self.cluster.num_machines + self.keep < 2:
            problems.append(
                UserError("--or-instance for one machine", "two or more: the first is on demand", "ask for more")
            )
        most = self.cluster.num_executors
        if any(count < 1 or count > most for count in self.bench):
            problems.append(
                UserError(
                    f"--bench {','.join(map(str, self.bench))} on a cluster of {most} executors",
                    f"numbers from 1 to {most}",
                    "ask for more machines, or fewer workers",
                )
            )
        if not 1 <= self.idle_minutes <= 10080:
            problems.append(
                UserError(f"--idle-minutes {self.idle_minutes}", "1 to 10080, a week", "correct --idle-minutes")
            )
        raise_together(problems)
