"""From what the ranks measured to a sample, and from samples to a point."""

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.harness import Sample, environment, significant
from benchmarks.scaling.plan import PlannedPoint
from benchmarks.scaling.point import ScalingPoint, ScalingSample
from benchmarks.scaling.start import Outcome
from hvdcells.runs.provenance import VERSIONS_NOTED
from hvdcells.secrets import HIDDEN, SECRET_NAME, without_secrets

PARTS = ("input_seconds", "compute_seconds", "communication_seconds")


def sample_of(outcome: Outcome, steps: int) -> ScalingSample:
    """Return what one start of the ranks measured: medians over its blocks.

    Args:
        outcome: of the start.
        steps: of a block.
    """
    ranks = outcome["ranks"]
    blocks = list(zip(*(rank["blocks"] for rank in ranks), strict=True))
    # All ranks take a step together, so a block lasts as long as its slowest rank.
    seconds = [max(each["seconds"] for each in block) for block in blocks]
    rates = [block[0]["images"] / each for block, each in zip(blocks, seconds, strict=True)]
    independent = list(zip(*(rank["independent_blocks"] for rank in ranks), strict=True))
    # Without communication each rank goes at its own pace; together they are as fast as their rates' sum.
    apart = [sum(block[0]["images"] / len(ranks) / each["seconds"] for each in block) for block in independent]
    starts = [rank["start_up"] for rank in ranks]
    described = environment()
    return ScalingSample(
        images_per_second=significant(median(rates)),
        step_seconds=significant(median(seconds) / steps),
        **{part: [_per_step(rank["blocks"], part, steps) for rank in ranks] for part in PARTS},
        independent_images_per_second=significant(median(apart)) if apart else None,
        # Blocks of a pair follow on each other: the median of their ratios is free of noise over time.
        communication_efficiency=round(median(a / b for a, b in zip(rates, apart, strict=True)), 3) if apart else None,
        peak_memory_bytes=[rank["peak_memory_bytes"] for rank in ranks],
        start_up_seconds={
            "spark": round(outcome["spark_seconds"], 2),
            **{part: round(max(start[part] for start in starts), 2) for part in starts[0]},
        },
        time=described["time"],
        commit=described["commit"],
    )


def point_of(
    planned: PlannedPoint,
    samples: Sequence[ScalingSample],
    outcome: Outcome,
    usd_per_host_hour: float | None = None,
) -> ScalingPoint:
    """Return the point: medians over its samples, and what the last start of the ranks says of where they ran."""
    ranks, rates = outcome["ranks"], Sample(tuple(sample.images_per_second for sample in samples))
    efficiencies = [sample.communication_efficiency for sample in samples if sample.communication_efficiency]
    parts: dict[str, Any] = {
        part: significant(median(fmean(getattr(sample, part)) for sample in samples)) for part in PARTS
    }
    # This machine's name is nobody's business.
    hosts = ["localhost" if planned.request.is_local else rank["host"] for rank in ranks]
    batch = planned.experiment.data.batch_size
    point = ScalingPoint(
        cluster=planned.request.cluster,
        model=planned.model,
        mode=planned.mode,
        input=planned.input,
        world_size=planned.world_size,
        hosts=hosts,
        device=ranks[0]["device"],
        num_machines=len({rank["machine"] for rank in ranks}),
        cores_per_machine=min(len(cores) for cores in cores_of_machines(ranks).values()),
        threads_per_rank=ranks[0]["threads"],
        core_demand=round(core_demand(ranks), 3),
        batch_size_per_rank=batch,
        global_batch=batch * planned.world_size,
        gradient_bytes=ranks[0]["gradient_bytes"],
        num_gradient_tensors=ranks[0]["num_gradient_tensors"],
        images_per_second=rates.median,
        images_per_second_spread=round(rates.spread, 3),
        step_seconds=median(sample.step_seconds for sample in samples),
        **parts,
        shortest_wait_seconds=median(min(sample.communication_seconds) for sample in samples),
        communication_efficiency=median(efficiencies) if efficiencies else None,
        start_up_seconds={
            part: round(median(sample.start_up_seconds[part] for sample in samples), 2)
            for part in samples[0].start_up_seconds
        },
        peak_memory_bytes=max(max(sample.peak_memory_bytes) for sample in samples),
        usd_per_host_hour=usd_per_host_hour,
        usd_per_million_images=None
        if usd_per_host_hour is None
        else significant(usd_per_host_hour * len(set(hosts)) / 3600 / rates.median * 1e6),
        settings=planned.settings(),
        spark_settings={
            name: HIDDEN if SECRET_NAME.search(name) else without_secrets(value)
            for name, value in outcome["spark_settings"].items()
        },
        horovod_settings=ranks[0]["horovod"],
        environment=environment(VERSIONS_NOTED),
        samples=list(samples),
    )
    return point.model_copy(update={"notes": _notes(point, planned)})


def core_demand(ranks: Sequence[dict[str, Any]]) -> float:
    """Return compute threads for each core where they are most crowded; 0 on GPUs.

    Ranks that are bound to cores of their own do not spread over the others: they crowd those that they share.
    """
    if any(rank["device"] == "gpu" for rank in ranks):
        return 0.0
    demands = [0.0]
    for machine, all_cores in cores_of_machines(ranks).items():
        here = [rank for rank in ranks if rank["machine"] == machine]
        for cores in {frozenset(rank["cores"]) for rank in here} | {frozenset(all_cores)}:
            bound = [rank for rank in here if cores.issuperset(rank["cores"])]
            demands.append(sum(rank["threads"] for rank in bound) / len(cores))
    return max(demands)


def cores_of_machines(ranks: Sequence[dict[str, Any]]) -> dict[str, set[int]]:
    """Return the cores that ranks may use, by machine."""
    cores: dict[str, set[int]] = {}
    for rank in ranks:
        cores.setdefault(rank["machine"], set()).update(rank["cores"])
    return cores


def _notes(point: ScalingPoint, planned: PlannedPoint) -> list[str]:
    notes = []
    if point.shares_cores:
        notes.append(
            f"Ranks share cores: {point.core_demand:g} compute threads for each core. More ranks than cores add no "
            "speed; the scaling efficiency is that of the machine, not of the method."
        )
    if point.num_hosts > point.num_machines:
        notes.append(
            f"{point.num_hosts} hosts of {point.num_machines} machine: they share its memory, and the links between "
            "them are as fast as that."
        )
    if point.input == "dataset" and planned.dataset is not None:
        data, split = planned.experiment.data, planned.dataset.split("train")
        side = data.input_size or planned.dataset.manifest.image_size
        in_memory = split.images * side**2 * 3 <= data.cache_bytes
        notes.append(
            "Images stay in memory once they are read."
            if in_memory
            else "Every image is read and decoded anew in each epoch."
        )
        if planned.dataset.manifest.synthetic:
            notes.append("The images are drawn by a program.")
    return notes


def _per_step(blocks: Sequence[dict[str, float]], part: str, steps: int) -> float:
    return significant(median(block[part] for block in blocks) / steps)
