"""What a sweep is made of: its points, and why some of what was asked for cannot be."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scaling.point import Input, Mode, file_name
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import check_enough_row_groups
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment
from hvdcells.secrets import HIDDEN, SECRET_NAME, without_secrets
from hvdcells.spark.session import local_slots


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    experiment: Experiment
    """Its batch is that of a rank in weak scaling."""
    workers: tuple[int, ...]
    modes: tuple[Mode, ...]
    inputs: tuple[Input, ...]
    master: str | None = None
    cluster: str = "local"
    global_batch: int | None = None
    """Of strong scaling; None for one rank's batch, rounded up to what all numbers of workers divide."""
    threads: int | None = None
    """That compute, of a rank; None for the same share of this machine's cores for all numbers of workers on Spark's
    local masters, and for what `hvdcells train` takes on others."""
    steps: int = 10
    blocks: int = 4
    warmup_steps: int = 6
    conf: Mapping[str, str] = field(default_factory=dict)
    start_timeout_seconds: int = 600

    @property
    def is_local(self) -> bool:
        """Whether all ranks run on this machine, without hosts of their own."""
        return self.master is None or self.master.startswith("local")


@dataclass(frozen=True)
class PlannedPoint:
    """One point that is to be measured."""

    request: Request
    mode: Mode
    input: Input
    world_size: int
    experiment: Experiment
    """With the batch and the threads of this point."""
    dataset: Dataset | None

    @property
    def model(self) -> str:
        """Backbone and side of its images."""
        return f"{self.experiment.model.backbone}_{self.experiment.data.input_size}"

    @property
    def file_name(self) -> str:
        """Of the point's file."""
        batch = self.experiment.data.batch_size
        held = batch if self.mode == "weak" else batch * self.world_size
        return file_name((self.request.cluster, self.model, self.mode, self.input, held), self.world_size)

    @property
    def name(self) -> str:
        """For the screen."""
        return f"{self.mode} {self.input} {self.world_size} worker{'s' * (self.world_size > 1)}"

    def settings(self) -> dict[str, Any]:
        """Return all that a point with equal figures would have to be measured with, as JSON has it."""
        request = self.request
        return {
            "master": request.master and without_secrets(request.master),
            "spark": {
                key: HIDDEN if SECRET_NAME.search(key) else without_secrets(request.conf[key]) for key in request.conf
            },
            "experiment": self.experiment.model_dump(mode="json"),
            "dataset": self.dataset and _shape(self.dataset),
            "steps": request.steps,
            "blocks": request.blocks,
            "warmup_steps": request.warmup_steps,
        }


def _shape(dataset: Dataset) -> dict[str, Any]:
    """Return what the speed of reading depends on."""
    manifest = dataset.manifest
    return {
        "image_size": manifest.image_size,
        "image_encoding": manifest.image_encoding,
        "synthetic": manifest.synthetic,
        "rows_per_row_group": dataset.rows_per_row_group("train"),
    }


def plan(request: Request, dataset: Dataset | None) -> list[PlannedPoint]:
    """Return all points of a sweep.

    Args:
        request: what is asked for.
        dataset: what the points that read a dataset read.

    Raises:
        UserError: all that is impossible, together.
    """
    strong = strong_batch(request)
    raise_together(_problems(request, strong, dataset))
    threads = request.threads
    if threads is None and request.is_local:
        threads = max(1, len(os.sched_getaffinity(0)) // max(request.workers))
    points = []
    for mode in request.modes:
        for read in request.inputs:
            for size in request.workers:
                batch = request.experiment.data.batch_size if mode == "weak" else strong // size
                changes = {"data.batch_size": batch, "data.input_size": _input_size(request, dataset)}
                if threads is not None:
                    changes["communication.intra_op_threads"] = threads
                experiment = request.experiment.override(changes)
                points.append(
                    PlannedPoint(request, mode, read, size, experiment, dataset if read == "dataset" else None)
                )
    return points


def strong_batch(request: Request) -> int:
    """Return the global batch of strong scaling."""
    if request.global_batch is not None:
        return request.global_batch
    multiple = math.lcm(*request.workers)
    return -(-request.experiment.data.batch_size // multiple) * multiple


def _input_size(request: Request, dataset: Dataset | None) -> int:
    return request.experiment.data.input_size or (dataset.manifest.image_size if dataset else 224)


def _problems(request: Request, strong: int, dataset: Dataset | None) -> list[UserError]:
    problems = []
    slots = local_slots(request.master) if request.master else None
    too_many = [size for size in request.workers if slots is not None and size > slots]
    if too_many:
        problems.append(
            UserError(
                f"{_list(too_many)} workers on the Spark master {request.master!r}, which runs {slots} tasks at once",
                "a slot for each worker, since all must run at the same time",
                f"leave them out of --workers, or use a master with more slots, such as local[{max(too_many)}]",
            )
        )
    if "strong" in request.modes:
        uneven = [size for size in request.workers if strong % size]
        if uneven:
            problems.append(
                UserError(
                    f"a global batch of {strong} for {_list(uneven)} workers",
                    "in strong scaling, one that every number of workers divides, so that all ranks take equal batches",
                    f"use --global-batch {-(-strong // math.lcm(*request.workers)) * math.lcm(*request.workers)}, or "
                    "leave it out",
                )
            )
    if "dataset" in request.inputs and dataset is not None:
        try:
            check_enough_row_groups(len(dataset.rows_per_row_group("train")), max(request.workers))
        except UserError as problem:
            problems.append(problem)
    return problems


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
