"""The requests for processing, training and tuning jobs: pure functions of what is launched and of the job's name."""

import json
import math
from typing import Any

from hvdcells import storage
from launch.aws.buckets import encryption
from launch.aws.estimate import Machines
from launch.sagemaker.container.jobs import DATASET
from launch.sagemaker.metrics import DEFINITIONS, EACH_EPOCH, OBJECTIVE
from launch.sagemaker.options import SageMakerLaunch
from launch.sagemaker.tuning import parameter_ranges
from launch.stages import SPLIT

ENTRY = ("python", "-m", "launch.sagemaker.container")


def processing_request(launch: SageMakerLaunch, name: str) -> dict[str, Any]:
    """Return `CreateProcessingJob`: the ETL stage on Spark, from S3 to S3."""
    network: dict[str, Any] = {
        "EnableNetworkIsolation": False,  # Spark reads and writes S3 itself, and its hosts talk to each other
        "EnableInterContainerTrafficEncryption": launch.encrypt_traffic,
    }
    return {
        "ProcessingJobName": name,
        "AppSpecification": {
            "ImageUri": launch.image,
            "ContainerEntrypoint": [*ENTRY, "process"],
            "ContainerArguments": ["etl", launch.pipeline.source, launch.pipeline.dataset, *launch.etl_arguments],
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": instance_name(launch.etl_instance),
                "InstanceCount": launch.etl_machines,
                "VolumeSizeInGB": launch.volume_gib,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _seconds(launch.max_hours)},
        "RoleArn": launch.role,
        "Environment": environment(launch),
        "NetworkConfig": network | ({"VpcConfig": _vpc(launch)} if launch.subnets else {}),
        "Tags": _tags(launch),
    }


def training_request(launch: SageMakerLaunch, name: str) -> dict[str, Any]:
    """Return `CreateTrainingJob`: one run, judged on the test split at its end."""
    values = {**_values(launch), "run": launch.pipeline.run, "evaluate": SPLIT}
    return {"TrainingJobName": name, "HyperParameters": values, **_training(launch), "Tags": _tags(launch)}


def tuning_request(launch: SageMakerLaunch, name: str) -> dict[str, Any]:
    """Return `CreateHyperParameterTuningJob`: runs with varied fields, judged on the validation split alone."""
    values = {**_values(launch), "runs": storage.join(launch.pipeline.run, name)}
    tuning = launch.tuning
    limits = {"MaxParallelTrainingJobs": tuning.parallel}
    if tuning.strategy != "Grid":  # a grid has as many as it has
        limits["MaxNumberOfTrainingJobs"] = tuning.jobs
    # Of all strategies but Hyperband the objective is printed once, at the end of a run: nothing stops one early by it.
    objective = EACH_EPOCH if tuning.strategy == "Hyperband" else OBJECTIVE
    config: dict[str, Any] = {
        "Strategy": tuning.strategy,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": objective},
        "ResourceLimits": limits,
        "ParameterRanges": parameter_ranges(tuning.vary),
        "TrainingJobEarlyStoppingType": "Off",
    }
    if tuning.strategy == "Hyperband":
        resources = {"MinResource": tuning.min_epochs, "MaxResource": launch.epochs}
        config["StrategyConfig"] = {"HyperbandStrategyConfig": resources}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": {"StaticHyperParameters": values, **_training(launch)},
        "Tags": _tags(launch),
    }


def machines(launch: SageMakerLaunch, hours: float, etl_hours: float) -> list[Machines]:
    """Return what the jobs cost by the hour.

    Args:
        launch: what is launched.
        hours: how long one training is expected to take.
        etl_hours: the same of the ETL.
    """
    count, spot, disk = launch.machines, launch.spot, launch.volume_gib
    trained, others = instance_name(launch.instance), tuple(map(instance_name, launch.or_instances))
    warm = launch.keep_warm_minutes / 60  # paid for like the training, unless the next one comes
    all_trainings = hours * math.ceil(launch.tuning.num_trainings / max(1, launch.tuning.parallel))
    rows = {
        "etl": Machines(
            "etl", instance_name(launch.etl_instance), launch.etl_machines, "sagemaker", False, disk, etl_hours
        ),
        "train": Machines("training", trained, count, "sagemaker", spot, disk, hours + warm, others),
        "tune": Machines("tuning", trained, count * launch.tuning.parallel, "sagemaker", spot, disk, all_trainings),
    }
    return [rows[stage] for stage in launch.stages]


def environment(launch: SageMakerLaunch) -> dict[str, str]:
    """Return the containers' variables; no secret is among them: rights come from the role."""
    # What s3fs gives with every upload: datasets, runs and checkpoints are encrypted at rest.
    extra = {"s3_additional_kwargs": encryption(launch.kms_key)}
    return {"AWS_DEFAULT_REGION": launch.region, "FSSPEC_S3": json.dumps(extra), "PYTHONUNBUFFERED": "1"}


def instance_name(name: str) -> str:
    """Return SageMaker's name of a machine."""
    return f"ml.{name.removeprefix('ml.')}"


def _values(launch: SageMakerLaunch) -> dict[str, str]:
    return {"recipe": launch.pipeline.recipe, **launch.pipeline.settings}


def _training(launch: SageMakerLaunch) -> dict[str, Any]:
    """Return what a training job and the jobs of a tuning have in common.

    The run with its checkpoints goes to S3 by itself, where each appears in one step, on whichever host rank 0 is.
    SageMaker's own copying of /opt/ml/checkpoints promises no order, and would copy from every host.
    """
    stopping = {"MaxRuntimeInSeconds": _seconds(launch.max_hours)}
    if launch.spot:
        stopping["MaxWaitTimeInSeconds"] = _seconds(launch.wait_hours)
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"{launch.pipeline.dataset.rstrip('/')}/",
        "S3DataDistributionType": "FullyReplicated",  # Spark deals out the row groups
    }
    definition: dict[str, Any] = {
        "AlgorithmSpecification": {
            "TrainingImage": launch.image,
            "TrainingInputMode": launch.input_mode,
            "MetricDefinitions": [dict(each) for each in DEFINITIONS],
        },
        "RoleArn": launch.role,
        "InputDataConfig": [{"ChannelName": DATASET, "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": launch.output} | ({"KmsKeyId": launch.kms_key} if launch.kms_key else {}),
        "ResourceConfig": _resources(launch),
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": launch.spot,
        "EnableNetworkIsolation": False,  # the run goes to S3 by itself, and the ranks talk to each other
        "EnableInterContainerTrafficEncryption": launch.encrypt_traffic,
        "Environment": environment(launch),
    }
    return definition | ({"VpcConfig": _vpc(launch)} if launch.subnets else {})


def _resources(launch: SageMakerLaunch) -> dict[str, Any]:
    """Return a training's machines: of one type, or of the first type in a list that there are enough of."""
    wanted = [{"InstanceType": instance_name(name)} for name in (launch.instance, *launch.or_instances)]
    resources: dict[str, Any] = {"InstancePreferences": wanted} if launch.or_instances else dict(wanted[0])
    resources |= {"InstanceCount": launch.machines, "VolumeSizeInGB": launch.volume_gib}
    if launch.keep_warm_minutes:
        resources["KeepAlivePeriodInSeconds"] = 60 * launch.keep_warm_minutes
    return resources


def _vpc(launch: SageMakerLaunch) -> dict[str, list[str]]:
    return {"Subnets": list(launch.subnets), "SecurityGroupIds": list(launch.security_groups)}


def _tags(launch: SageMakerLaunch) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {"project": "hvdcells", **launch.tags}.items()]


def _seconds(hours: float) -> int:
    return max(1, round(3600 * hours))
