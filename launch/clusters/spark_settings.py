"""The Spark settings that follow from the description of a cluster."""

from pathlib import Path
from typing import Literal

from launch.clusters.spec import ClusterSpec, free_memory_gib

Stage = Literal["etl", "train", "evaluate"]

DISCOVERY_SCRIPT = Path(__file__).parent.parent / "assets" / "discover_gpus.sh"

HEAP_SHARE = {"etl": 0.4, "train": 0.15, "evaluate": 0.15}
"""Of an executor's memory. The rest is Python's: decoded images, and TensorFlow. A rank's JVM only starts it."""
SMALLEST_HEAP_MIB = 512
"""Spark refuses heaps below 450 MiB."""


def spark_settings(spec: ClusterSpec, stage: Stage) -> dict[str, str]:
    """Return the settings with which a stage of work uses a cluster.

    Ranks of `train` and `evaluate` get an executor each, with all its cores and its GPU. `etl` has no use for GPUs:
    one executor a machine, with a slot for every core but one.

    Standalone masters, which start as many executors as fit, are held to their number by `spark.cores.max`; YARN and
    Kubernetes by `spark.executor.instances`.
    """
    if stage == "etl":
        num_executors, cores, task_cpus = spec.num_machines, max(1, spec.vcpus - 1), 1
        memory_gib = free_memory_gib(spec.memory_gib, spec.driver_memory_gib)
    else:
        num_executors, cores, task_cpus = spec.num_executors, spec.threads, spec.threads
        memory_gib = spec.executor_memory_gib
    memory_mib = int(memory_gib * 1024)
    heap_mib = max(SMALLEST_HEAP_MIB, int(memory_mib * HEAP_SHARE[stage]))
    settings = {
        "spark.executor.instances": str(num_executors),
        "spark.executor.cores": str(cores),
        "spark.cores.max": str(num_executors * cores),
        "spark.task.cpus": str(task_cpus),
        "spark.executor.memory": f"{heap_mib}m",
        "spark.executor.memoryOverhead": f"{memory_mib - heap_mib}m",
        "spark.driver.memory": f"{int(spec.driver_memory_gib * 1024)}m",
        "spark.dynamicAllocation.enabled": "false",
        # A second copy of a slow task would be a second rank, or write the same file twice.
        "spark.speculation": "false",
    }
    if stage == "etl":
        return settings
    settings |= {
        # The ranks start together or not at all, and one that failed cannot join the others again: hvdcells resumes.
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "600s",
        "spark.task.maxFailures": "1",
        "spark.executorEnv.OMP_NUM_THREADS": str(spec.threads),
    }
    if spec.num_gpus:
        settings |= {
            "spark.executor.resource.gpu.amount": "1",
            "spark.task.resource.gpu.amount": "1",
            "spark.executor.resource.gpu.discoveryScript": f"./{DISCOVERY_SCRIPT.name}",
            "spark.files": str(DISCOVERY_SCRIPT),
            # The numbers of GPUs are those of nvidia-smi.
            "spark.executorEnv.CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "spark.executorEnv.TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
    return settings
