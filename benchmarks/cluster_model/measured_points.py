"""What the model takes from a point of the scaling benchmark."""

from benchmarks.cluster_model.measured import MeasuredPoint
from benchmarks.scaling.point import ScalingPoint


def measured_point(point: ScalingPoint) -> MeasuredPoint:
    """Return what the model needs of a point."""
    threads, cores = point.threads_per_rank, point.cores_per_machine
    ranks_per_machine = -(-point.world_size // point.num_machines)
    on_gpu = point.device == "gpu"
    return MeasuredPoint(
        model=point.model,
        input=point.input,
        world_size=point.world_size,
        batch_size_per_rank=point.batch_size_per_rank,
        step_seconds=point.step_seconds,
        compute_seconds=point.compute_seconds,
        input_seconds=point.input_seconds,
        gradient_bytes=point.gradient_bytes,
        core_demand=point.core_demand,
        # One rank's own cores are not others that are busy; on GPUs none is.
        num_further_busy_cores=0 if on_gpu else max(0, min(ranks_per_machine * threads, cores) - min(threads, cores)),
    )
