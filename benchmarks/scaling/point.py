"""One point of the scaling benchmark: an experiment on so many workers, as it is kept in one JSON file.

The scaling command writes points; the report and the fit of the model of larger clusters read them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from hvdcells.errors import UserError, fields_refused, raise_together

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
    independent_images_per_second: PositiveFloat | None = None
    """The same steps without communication, on all ranks at once and in turns with the others; None for one rank."""
    communication_efficiency: PositiveFloat | None = None
    """Images per second with communication / without."""
    peak_memory_bytes: list[PositiveInt]
    """Of each rank: most memory resident at a time."""
    start_up_seconds: dict[str, float]
    """From the start of the command to the end of each part, on the slowest rank: `spark`, `process`, …,
    `first_step`."""
    time: str
    commit: str | None = None


class ScalingPoint(_Part):
    """An experiment on so many workers. Medians over the samples; seconds are those of one step, means over ranks."""

    cluster: str
    """Name of what it ran on; points of several clusters are never compared or fitted together."""
    model: str
    """Backbone and side of its images, such as `small_cnn_64`."""
    mode: Mode
    """Weak scaling holds the batch of a rank, strong scaling the global batch."""
    input: Input
    world_size: PositiveInt
    hosts: list[str]
    """Name of the host of each rank, in the order of ranks."""
    device: Literal["cpu", "gpu"]
    """What the model is computed on."""
    num_machines: PositiveInt
    """Machines behind the hosts: network namespaces of one machine are hosts that share it."""
    cores_per_machine: PositiveInt
    """Cores that the ranks of a machine may use; of the machine with the fewest."""
    threads_per_rank: PositiveInt
    """Threads of a rank that compute."""
    core_demand: NonNegativeFloat
    """Compute threads for each core, where they are most crowded: above 1, ranks share cores. 0 on GPUs."""
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
    shortest_wait_seconds: NonNegativeFloat | None = None
    """The same of the rank that waits least: nearest to the transfer itself."""
    communication_efficiency: PositiveFloat | None = None
    """Images per second with communication / without, in turns in the same processes."""
    start_up_seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: PositiveInt | None = None
    """Of the rank that needs most."""
    usd_per_host_hour: NonNegativeFloat | None = None
    usd_per_million_images: NonNegativeFloat | None = None
    """Of the hosts on which ranks ran, while they train; start-up is not in it."""
    notes: list[str] = Field(default_factory=list)
    """What must be known to read the figures, such as that ranks share cores."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What was asked for; a point is measured anew when it is not equal."""
    spark_settings: dict[str, str] = Field(default_factory=dict)
    horovod_settings: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    """Machine of the driver, versions, commit, when the last sample was taken."""
    samples: list[ScalingSample] = Field(default_factory=list)

    @property
    def num_hosts(self) -> int:
        """Hosts on which ranks ran."""
        return len(set(self.hosts))

    @property
    def shares_cores(self) -> bool:
        """Whether some ranks computed on the same cores."""
        return self.core_demand > 1

    @property
    def series(self) -> tuple[str, str, Mode, Input, int]:
        """What this point shares with those of other worker counts; last, the batch that is held."""
        batch = self.batch_size_per_rank if self.mode == "weak" else self.global_batch
        return self.cluster, self.model, self.mode, self.input, batch

    @property
    def file_name(self) -> str:
        """Name of its file: of every series and number of workers there is one."""
        return file_name(self.series, self.world_size)


def file_name(series: tuple[str, str, Mode, Input, int], world_size: int) -> str:
    """Return the name of the file of a point."""
    cluster, model, mode, read, batch = series
    words = "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in f"{cluster}-{model}")
    return f"{words}-{mode}-{read}-batch{batch}-workers{world_size}.json"


def read_point(path: Path) -> ScalingPoint:
    """Read one point.

    Raises:
        UserError: the file is none.
    """
    with fields_refused(f"{path} is no point of the scaling benchmark: ", "remove it, or measure it anew"):
        return ScalingPoint.model_validate_json(path.read_text())


def read_points(folder: str | Path) -> list[ScalingPoint]:
    """Read all points of a folder, by series and number of workers.

    Raises:
        UserError: there is none, or files that are no points, all of them together.
    """
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        raise UserError(
            f"{folder}: no points in it", "one JSON file a point", "python -m benchmarks.scaling makes them"
        )
    points, problems = [], []
    for path in files:
        try:
            points.append(read_point(path))
        except UserError as problem:
            problems.append(problem)
    raise_together(problems)
    return sorted(points, key=lambda point: (point.series, point.world_size))


def scaling_efficiencies(points: Iterable[ScalingPoint]) -> dict[int, float]:
    """Return total(N) / (N · total(1)) by number of workers, of the points of one series; none without one worker."""
    rates = {point.world_size: point.images_per_second for point in points}
    return {size: rate / (size * rates[1]) for size, rate in sorted(rates.items())} if 1 in rates else {}
