"""The methods that are compared: which adapter runs each, in which environment."""

from dataclasses import dataclass

from benchmarks.methods.environments import Environment

ELEPHAS = Environment("elephas", "3.11")


@dataclass(frozen=True)
class Method:
    """One row of the comparison."""

    name: str
    title: str
    adapter: str
    """Module below `benchmarks.methods.adapters`."""
    arguments: tuple[str, ...] = ()
    environment: Environment | None = None
    """None for the project's own."""
    is_distributed: bool = True
    exchanged: str = ""
    """What travels between workers, and when."""


METHODS = (
    Method("one_process", "one process, no Spark", "one_process", is_distributed=False, exchanged="nothing"),
    Method("horovod_on_spark", "Horovod on Spark (hvdcells)", "horovod_on_spark", exchanged="gradients, every step"),
    Method(
        "keras_estimator",
        "Horovod's KerasEstimator",
        "keras_estimator",
        environment=Environment("keras_estimator", "3.11"),
        exchanged="gradients, every step",
    ),
    Method(
        "multi_worker_mirrored",
        "MultiWorkerMirroredStrategy (spark-tensorflow-distributor)",
        "mirrored",
        exchanged="gradients, every step",
    ),
    Method("tensorflow_on_spark", "TensorFlowOnSpark", "tensorflow_on_spark", exchanged="gradients, every step"),
    Method(
        "elephas_synchronous",
        "Elephas, synchronous",
        "elephas",
        ("synchronous",),
        ELEPHAS,
        exchanged="weights, every epoch",
    ),
    Method(
        "elephas_asynchronous",
        "Elephas, asynchronous",
        "elephas",
        ("asynchronous",),
        ELEPHAS,
        exchanged="weights, every batch",
    ),
    Method("bigdl", "BigDL dllib", "bigdl", environment=Environment("bigdl", "3.8"), exchanged="gradients, every step"),
)
"""In the order of the table."""

BY_NAME = {method.name: method for method in METHODS}
