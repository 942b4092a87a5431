"""One point of the scaling benchmark: an experiment on so many workers, as it is kept in one JSON file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from hvdcells.errors import UserError, raise_together

Mode = Literal["weak", "strong"]
Input = Literal["memory", "dataset"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ScalingSample(_Part):
    """What one start of the ranks measured; seconds are those of one step."""

    images_per_second: PositiveFloat
    """Over all ranks, images of weight zero not counted."""
    step_seconds: PositiveFloat
    input_seconds: list[NonNegativeFloat]
    """Of each rank: waiting for a batch."""
    compute_seconds: list[NonNegativeFloat]
    """Of each rank: forward and backward pass and update."""
    communication_seconds: list[NonNegativeFloat]
    """Of each rank: from its own gradient to the reduced one, so waiting for slower ranks is in it."""
    independent_step_seconds: PositiveFloat | None = None
    """The same step on all ranks at once without communication; None where it was not measured."""
    communication_efficiency: PositiveFloat | None = None
    """Images per second with communication / without, both measured in turns in the same processes."""
    peak_memory_bytes: list[PositiveInt]
    """Of each rank."""
    start_up_seconds: dict[str, float]
    """From the start to the end of each part, on the slowest rank: `spark`, `process`, …, `first_step`."""


class ScalingPoint(_Part):
    """An experiment on so many workers. Medians over the samples; seconds are those of one step, means over ranks."""

    model: str
    """Backbone and side of its images, such as `small_cnn_64`."""
    mode: Mode
    """Weak scaling holds the batch of a rank, strong scaling the global batch."""
    input: Input
    world_size: PositiveInt
    hosts: list[str]
    """Name of the host of each rank, in the order of ranks."""
    num_machines: PositiveInt
    """Machines behind the hosts: network namespaces of one machine are hosts that share it."""
    cores_per_rank: PositiveFloat
    """Cores of the machines / ranks, no more than what a rank may use."""
    ranks_share_cores: bool
    """Whether the compute threads of all ranks of a machine are more than its cores."""
    batch_size_per_rank: PositiveInt
    global_batch: PositiveInt
    gradient_bytes: PositiveInt
    """What one allreduce of all gradients sums up."""
    num_gradient_tensors: PositiveInt
    images_per_second: PositiveFloat
    images_per_second_spread: NonNegativeFloat = 0
    """Largest − smallest, relative to the median."""
    step_seconds: PositiveFloat
    input_seconds: NonNegativeFloat
    compute_seconds: NonNegativeFloat
    communication_seconds: NonNegativeFloat
    """What the ranks wait for after their own gradient: transfer, and ranks that are slower."""
    shortest_wait_seconds: NonNegativeFloat
    """The same of the rank that waits least: nearest to the transfer itself."""
    independent_step_seconds: PositiveFloat | None = None
    """The same step on all ranks at once without communication."""
    communication_efficiency: PositiveFloat | None = None
    start_up_seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: PositiveInt
    """Of the rank that needs most."""
    usd_per_host_hour: NonNegativeFloat | None = None
    usd_per_million_images: NonNegativeFloat | None = None
    notes: list[str] = Field(default_factory=list)
    """What must be known to read the figures, such as that ranks share cores."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What was asked for; a point is measured anew when it is not equal."""
    spark_settings: dict[str, str] = Field(default_factory=dict)
    horovod_settings: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    """Machine of the driver, versions, commit."""
    samples: list[ScalingSample] = Field(default_factory=list)

    @property
    def num_hosts(self) -> int:
        """Hosts on which ranks ran."""
        return len(set(self.hosts))

    @property
    def series(self) -> tuple[str, Mode, Input]:
        """What this point shares with those of other worker counts."""
        return self.model, self.mode, self.input


def read_points(folder: str | Path) -> list[ScalingPoint]:
    """Read all points of a folder, by series and number of workers.

    Raises:
        UserError: files that are no points, all of them together.
    """
    points, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            points.append(ScalingPoint.model_validate_json(path.read_text()))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(
                UserError(
                    f"{path} is no point of the scaling benchmark: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                    "a file that `python -m benchmarks.scaling` has written",
                    "remove it, or measure it anew",
                )
            )
    raise_together(problems)
    return sorted(points, key=lambda point: (point.series, point.world_size))


def scaling_efficiencies(points: Iterable[ScalingPoint]) -> dict[int, float]:
    """Return total(N) / (N · total(1)) by number of workers, of the points of one series; none without one worker."""
    rates = {point.world_size: point.images_per_second for point in points}
    return {size: rate / (size * rates[1]) for size, rate in sorted(rates.items())} if 1 in rates else {}
