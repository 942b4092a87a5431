"""One description of a cluster: its machines, and how executors share them. Settings and requests follow from it."""

import math
import os
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from hvdcells import storage
from hvdcells.errors import UserError, fields_refused, raise_together
from launch.clusters.instances import Catalogue, InstanceType, catalogue

PriceModel = Literal["on-demand", "spot"]

SMALLEST_EXECUTOR_GIB = 1.5
"""A JVM that does nothing but start Python, and TensorFlow with a small model."""


class AskedExecutors(BaseModel):
    """What a user says of a Spark cluster that is there; the rest follows from the machines' type."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    worker_instance: Annotated[str, typer.Option("--instance")] = "g4dn.xlarge"
    """Type of the machines that executors run on, such as g4dn.xlarge; any word where all three sizes are given."""
    num_machines: Annotated[PositiveInt | None, typer.Option("--machines")] = None
    """Machines of that type. Default: as many as the executors need."""
    vcpus: PositiveInt | None = None
    """Cores of one machine. Default: from the table of machines."""
    memory_gib: PositiveFloat | None = None
    """Memory of one machine. Default: from the table of machines."""
    num_gpus: Annotated[NonNegativeInt | None, typer.Option("--gpus")] = None
    """GPUs of one machine. Default: from the table of machines."""
    executors_per_machine: PositiveInt | None = None
    """Executors of one machine. Default: one per GPU; one on a machine without GPUs."""
    num_executors: Annotated[PositiveInt | None, typer.Option("--workers")] = None
    """Executors in all; each runs one rank. Default: as many as the machines take."""
    threads: PositiveInt | None = None
    """Cores of one executor, and so threads of its rank. Default: an even share of all but one."""
    executor_memory_gib: PositiveFloat | None = None
    """Memory of one executor, heap and all else. Default: an even share of what is free."""
    driver_memory_gib: PositiveFloat = 2
    """Heap of the driver, which on YARN may take its place on any machine."""


class AskedCluster(AskedExecutors):
    """What a user says of a cluster that is rented."""

    primary_instance: str = "m5.xlarge"
    """Type of the one machine that runs the cluster's own services."""
    price_model: PriceModel = "on-demand"
    """`spot` machines cost less and may be taken away."""


class ClusterSpec(AskedCluster):
    """A cluster with nothing left open, and nothing impossible in it. Made by `ClusterSpec.of`.

    Raises:
        UserError: its executors do not fit its machines; all reasons together.
    """

    num_machines: PositiveInt
    vcpus: PositiveInt
    memory_gib: PositiveFloat
    num_gpus: NonNegativeInt
    executors_per_machine: PositiveInt
    num_executors: PositiveInt
    threads: PositiveInt
    executor_memory_gib: PositiveFloat

    @classmethod
    def of(cls, machines: Catalogue | None = None, **asked: Any) -> "ClusterSpec":
        """Fill in what is not said; a field that is None is not said.

        Args:
            machines: the table of machines; None for the one that comes with the project.
            asked: fields of `AskedCluster`.

        Raises:
            UserError: unknown fields, values that do not fit, or an impossible cluster; all reasons together.
        """
        with fields_refused("the cluster's ", "correct it, or leave it out", AskedCluster.model_fields):
            said = AskedCluster.model_validate({name: value for name, value in asked.items() if value is not None})
        machines = machines or catalogue()
        known = machines.instances.get(said.worker_instance.removeprefix("ml."))
        vcpus, memory_gib, num_gpus = _machine(said, known)
        per_machine = said.executors_per_machine or num_gpus or 1
        num_machines = said.num_machines or math.ceil((said.num_executors or 1) / per_machine)
        filled = {
            "num_machines": num_machines,
            "vcpus": vcpus,
            "memory_gib": memory_gib,
            "num_gpus": num_gpus,
            "executors_per_machine": per_machine,
            "num_executors": said.num_executors or num_machines * per_machine,
            # One core stays for the system and, on YARN, for the application's master.
            "threads": said.threads or max(1, (vcpus - 1) // per_machine),
            "executor_memory_gib": said.executor_memory_gib
            or max(SMALLEST_EXECUTOR_GIB, free_memory_gib(memory_gib, said.driver_memory_gib) / per_machine),
        }
        return cls.model_validate({**said.model_dump(), **filled})

    @model_validator(mode="after")
    def _fits(self) -> "ClusterSpec":
        raise_together(_problems_of_fit(self))
        return self


def usable_memory_gib(memory_gib: float) -> float:
    """Return what a machine has for Spark: three quarters, or all but 8 GiB, as YARN on EMR hands it out."""
    return max(memory_gib * 0.75, memory_gib - 8)


def driver_container_gib(driver_memory_gib: float) -> float:
    """Return the driver's memory with Spark's overhead for it."""
    return driver_memory_gib + max(0.1 * driver_memory_gib, 0.375)


def free_memory_gib(memory_gib: float, driver_memory_gib: float) -> float:
    """Return what a machine has for executors when the driver is on it too."""
    return usable_memory_gib(memory_gib) - driver_container_gib(driver_memory_gib)


def read_spec(location: str | os.PathLike[str], machines: Catalogue | None = None, **asked: Any) -> ClusterSpec:
    """Read a cluster from a YAML or JSON file of `AskedCluster`'s fields; what is asked beside it wins.

    Raises:
        UserError: no such file, no such description, or an impossible cluster.
    """
    try:
        fields = yaml.safe_load(storage.read_text(location))
        if not isinstance(fields, dict):
            raise yaml.YAMLError("it holds no fields")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"the cluster's description {location}: {error}",
            "a YAML or JSON file of fields such as worker_instance: g4dn.xlarge",
            "correct the file, or describe the cluster by options",
        ) from error
    return ClusterSpec.of(machines, **{**fields, **{name: value for name, value in asked.items() if value is not None}})


def _machine(said: AskedCluster, known: InstanceType | None) -> tuple[int, float, int]:
    """Return cores, memory in GiB and GPUs of one machine: what is said of it, else what the table knows.

    Raises:
        UserError: the table has no such machine, or it has less than is said.
    """
    if known is None:
        if said.vcpus is None or said.memory_gib is None:
            missing = [name for name in ("vcpus", "memory_gib") if getattr(said, name) is None]
            raise UserError(
                f"the instance type {said.worker_instance!r} without {' and '.join(missing)}",
                "a type of the table of machines, or all its sizes",
                "correct the name, give vcpus, memory_gib and num_gpus, or a table that has it (--prices FILE)",
            )
        return said.vcpus, said.memory_gib, said.num_gpus or 0
    raise_together(
        UserError(
            f"{name}={given:g} for {said.worker_instance}",
            f"at most {has:g}, what such a machine has",
            f"leave {name} out, or take a larger machine",
        )
        for name in ("vcpus", "memory_gib", "num_gpus")
        if (given := getattr(said, name)) is not None and given > (has := getattr(known, name))
    )
    num_gpus = known.num_gpus if said.num_gpus is None else said.num_gpus
    return said.vcpus or known.vcpus, said.memory_gib or known.memory_gib, num_gpus


def _problems_of_fit(spec: ClusterSpec) -> list[UserError]:
    problems = []
    each = spec.executors_per_machine
    if spec.num_gpus and each > spec.num_gpus:
        problems.append(
            UserError(
                f"{each} executors on a machine with {spec.num_gpus} GPUs",
                "one GPU for each executor",
                f"set executors_per_machine to {spec.num_gpus} or less",
            )
        )
    if spec.num_executors > spec.num_machines * each:
        problems.append(
            UserError(
                f"{spec.num_executors} executors on {spec.num_machines} machines that take {each} each",
                f"at most {spec.num_machines * each} executors",
                f"set num_machines to {math.ceil(spec.num_executors / each)}, or num_executors to less",
            )
        )
    if each * spec.threads > spec.vcpus:
        problems.append(
            UserError(
                f"{each} executors of {spec.threads} threads on a machine with {spec.vcpus} cores",
                f"at most {spec.vcpus} threads together",
                f"set threads to {spec.vcpus // each}" if spec.vcpus >= each else "take larger machines",
            )
        )
    if spec.executor_memory_gib < SMALLEST_EXECUTOR_GIB:
        problems.append(
            UserError(
                f"executors of {spec.executor_memory_gib:g} GiB",
                f"at least {SMALLEST_EXECUTOR_GIB:g} GiB: a JVM, and TensorFlow beside it",
                "raise executor_memory_gib, or leave it out",
            )
        )
    free = free_memory_gib(spec.memory_gib, spec.driver_memory_gib)
    if each * spec.executor_memory_gib > free * (1 + 1e-9):
        problems.append(
            UserError(
                f"{each} executors of {spec.executor_memory_gib:.3g} GiB on a machine of {spec.memory_gib:g} GiB",
                f"at most {max(free, 0):.3g} GiB together: the system keeps a part, and so may a driver of "
                f"{spec.driver_memory_gib:g} GiB",
                "lower executor_memory_gib or driver_memory_gib, or take larger machines",
            )
        )
    return problems
