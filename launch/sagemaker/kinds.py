"""The three kinds of jobs, and how SageMaker's API names what they have in common."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from launch.sagemaker.options import JobStage, SageMakerLaunch
from launch.sagemaker.requests import processing_request, training_request, tuning_request


@dataclass(frozen=True)
class Kind:
    """One kind of job; operations are boto3's methods."""

    stage: JobStage
    operation: str
    """That creates it, as the API spells it."""
    create: str
    describe: str
    stop: str
    name_key: str
    status_key: str
    log_group: str
    request: Callable[[SageMakerLaunch, str], dict[str, Any]]


def _kind(stage: JobStage, noun: str, snake: str, logs: str, request: Callable[..., dict[str, Any]]) -> Kind:
    return Kind(
        stage,
        f"Create{noun}",
        f"create_{snake}",
        f"describe_{snake}",
        f"stop_{snake}",
        f"{noun}Name",
        f"{noun}Status",
        f"/aws/sagemaker/{logs}",
        request,
    )


ETL = _kind("etl", "ProcessingJob", "processing_job", "ProcessingJobs", processing_request)
TRAIN = _kind("train", "TrainingJob", "training_job", "TrainingJobs", training_request)
TUNE = _kind("tune", "HyperParameterTuningJob", "hyper_parameter_tuning_job", "TrainingJobs", tuning_request)
KINDS: dict[JobStage, Kind] = {kind.stage: kind for kind in (ETL, TRAIN, TUNE)}


def new_name(stage: JobStage) -> str:
    """Return a job's name that no other has: a tuning's may have 32 characters."""
    return f"hvdcells-{stage}-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
