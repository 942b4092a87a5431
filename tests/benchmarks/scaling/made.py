"""Made-up answers of ranks, as a start of them would give, for tests that start none."""

from typing import Any

from benchmarks.scaling.plan import PlannedPoint, Request
from hvdcells.experiment import Communication
from hvdcells.experiment.horovod_settings import decide
from hvdcells.experiment.recipes import small_cnn

EXPERIMENT = small_cnn().override({"data.input_size": 64, "data.batch_size": 8})


def request(**changes: Any) -> Request:
    return Request(
        **{"experiment": EXPERIMENT, "workers": (1, 2), "modes": ("weak",), "inputs": ("memory",), **changes}
    )


def rank(
    images: int, step_seconds: float, num_steps: int, world_size: int, communication: float = 0.0, **changes: Any
) -> dict[str, Any]:
    """Return what a rank measured whose steps all take the same; without communication, it takes that much less."""

    def block(seconds: float, waited: float) -> dict[str, float]:
        return {
            "seconds": seconds * num_steps,
            "input_seconds": 0.001 * num_steps,
            "compute_seconds": (seconds - waited - 0.001) * num_steps,
            "communication_seconds": waited * num_steps,
            "images": images * num_steps,
        }

    return {
        "blocks": [block(step_seconds, communication)] * 2,
        "independent_blocks": [block(step_seconds - communication, 0.0)] * 2 if world_size > 1 else [],
        "host": "hv1",
        "machine": "one",
        "cores": [0, 1],
        "threads": 1,
        "device": "cpu",
        "peak_memory_bytes": 400_000_000,
        "gradient_bytes": 655_204,
        "num_gradient_tensors": 14,
        "horovod": vars(decide(Communication(), "cpu", 1, {})),
        "start_up": {"process": 5.0, "imports": 5.5, "first_step": 8.0},
        **changes,
    }


def outcome(planned: PlannedPoint, rate_of_one: float = 100.0, lost: float = 0.1) -> dict[str, Any]:
    """Return what ranks of a point measured that lose this share of a step to communication."""
    size, batch = planned.world_size, planned.experiment.data.batch_size
    alone = batch / rate_of_one
    seconds = alone if size == 1 else alone / (1 - lost)
    ranks = [
        rank(batch * size, seconds, planned.request.steps, size, seconds - alone, host=f"hv{n + 1}")
        for n in range(size)
    ]
    return {
        "ranks": ranks,
        "spark_seconds": 3.0,
        "spark_settings": {"spark.master": f"local[{size}]", "spark.executor.secretKey": "do not tell"},
    }
