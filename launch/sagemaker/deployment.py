"""A served model on SageMaker: the requests for an endpoint, serverless or with machines, or for a batch transform.

The image is that of `hvdcells sagemaker image FOLDER --serve`; the export lies beside it as a tar.gz in S3, which all
three take (SageMaker takes folders in S3 neither for serverless endpoints nor for batch transform).
"""

import re
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field

from hvdcells.errors import UserError, raise_together
from launch.aws.buckets import bucket_and_key
from launch.aws.errors import aws_errors
from launch.aws.requests import check_request
from launch.clusters.instances import Catalogue
from launch.sagemaker.options import AskedSageMaker
from launch.sagemaker.requests import instance_name
from launch.sagemaker.submission import check_no_secrets

DeploymentKind = Literal["serverless", "realtime", "batch"]
GPU_AMI = "al2-ami-sagemaker-inference-gpu-3-1"
"""With a driver for the CUDA 12 of images built today."""
MEMORY_STEP_MB = 1024
PAYLOAD_MB = 6
"""Of one image in a batch transform; also what an endpoint takes at most."""
IMAGES_PER_SECOND_AND_VCPU = 40.0
"""Where nothing else is said: a quarter of what the processor time of a CNN of the small CNN's size allows, 6.4 ms an
image (docs/deploy.md); a virtual CPU is half a core."""
_SERVING = typer.Option(rich_help_panel="Serving")
_NAME = re.compile(r"[a-zA-Z0-9](-?[a-zA-Z0-9])*")


class Deployment(BaseModel):
    """What is served where."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    deploy: Annotated[DeploymentKind | None, _SERVING] = None
    """Serve an exported model instead of training one: serverless (CPU, paid by the request), realtime (machines that
    stay until `hvdcells sagemaker undeploy`) or batch (a folder of images, then the machines end)."""
    model: Annotated[str | None, _SERVING] = None
    """The export as s3://.../model.tar.gz: tar -czf model.tar.gz -C EXPORT . makes it."""
    name: Annotated[str | None, _SERVING] = None
    """Of the endpoint or the transform. Left out: one that no other has."""
    memory_mb: Annotated[int, Field(ge=1024, le=6144, multiple_of=MEMORY_STEP_MB), _SERVING] = 2048
    """Of a serverless endpoint: 1024, 2048, ... 6144."""
    concurrency: Annotated[int, Field(ge=1, le=200), _SERVING] = 5
    """Requests that a serverless endpoint answers at once."""
    serving_instance: Annotated[str, _SERVING] = "ml.m5.xlarge"
    """Type of the machines, with realtime and batch."""
    serving_machines: Annotated[int, Field(ge=1), _SERVING] = 1
    """How many of them."""
    inference_ami: Annotated[str | None, _SERVING] = None
    """With realtime: the machines' AMI, whose driver fits the image's CUDA. Left out: for types with GPUs one for CUDA
    12, else SageMaker's own choice."""
    images: Annotated[str | None, _SERVING] = None
    """With batch: folder of the images, s3://...; the answers go to --output, a JSON file an image."""
    images_per_second: Annotated[float | None, Field(gt=0), _SERVING] = None
    """Of one machine or serverless container, for the cost of 1,000 cells; `benchmarks.serving` measures it."""


@dataclass(frozen=True)
class Planned:
    """One request, by the API's name of its operation and boto3's method."""

    operation: str
    method: str
    request: dict[str, Any]


def planned(asked: AskedSageMaker, deployment: Deployment, name: str, gpu: bool = False) -> list[Planned]:
    """Return the requests in their order, checked for their form, with nothing asked of AWS.

    Args:
        asked: image, role, region, output, network and tags; the rest is of training.
        deployment: with its kind.
        name: of model, configuration and endpoint or transform.
        gpu: the machines have GPUs.

    Raises:
        UserError: all that is missing or wrong, together.
    """
    _check(asked, deployment, name)
    requests = [Planned("CreateModel", "create_model", _model(asked, deployment, name))]
    if deployment.deploy == "batch":
        requests.append(Planned("CreateTransformJob", "create_transform_job", _transform(asked, deployment, name)))
    else:
        tags = _tags(asked)
        variant = {"VariantName": "all", "ModelName": name, **_capacity(deployment, gpu)}
        config = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags}
        endpoint = {"EndpointName": name, "EndpointConfigName": name, "Tags": tags}
        requests.append(Planned("CreateEndpointConfig", "create_endpoint_config", config))
        requests.append(Planned("CreateEndpoint", "create_endpoint", endpoint))
    for each in requests:
        check_no_secrets(each.request)
        check_request("sagemaker", each.operation, each.request)
    return requests


def new_name(deployment: Deployment) -> str:
    """Return a name that no other has."""
    return f"hvdcells-{deployment.deploy}-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def _check(asked: AskedSageMaker, deployment: Deployment, name: str) -> None:
    problems = []
    needed = {"image": asked.image, "role": asked.role, "model": deployment.model}
    if deployment.deploy == "batch":
        needed |= {"images": deployment.images, "output": asked.output}
    for option, value in needed.items():
        if not value:
            problems.append(UserError(f"--deploy {deployment.deploy} without --{option}", "one", f"give --{option}"))
    for option in ("model", "images", "output"):
        if needed.get(option):
            try:
                bucket_and_key(str(needed[option]))
            except UserError as error:
                problems.append(UserError(f"--{option}: {error.given}", error.expected, error.remedy))
    if deployment.model and not deployment.model.endswith(".tar.gz"):
        given = f"--model {deployment.model}"
        problems.append(UserError(given, "a name that ends in .tar.gz", "tar -czf model.tar.gz -C EXPORT ."))
    if len(name) > 63 or not _NAME.fullmatch(name):
        problems.append(UserError(f"--name {name}", "at most 63 letters, digits and hyphens", "correct --name"))
    if deployment.inference_ami and deployment.deploy != "realtime":
        given = f"--inference-ami with --deploy {deployment.deploy}"
        problems.append(UserError(given, "machines of an endpoint: --deploy realtime", "leave it out"))
    if bool(asked.subnets) != bool(asked.security_groups):
        given = "--subnet or --security-group alone"
        problems.append(UserError(given, "both or neither", "add the other, or leave both out"))
    raise_together(problems)


def _model(asked: AskedSageMaker, deployment: Deployment, name: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ModelName": name,
        "PrimaryContainer": {"Image": asked.image, "ModelDataUrl": deployment.model},
        "ExecutionRoleArn": asked.role,
        # It needs nothing from elsewhere, and nothing leaves it but its answers. Serverless containers have no network
        # of their own to be taken away.
        "EnableNetworkIsolation": deployment.deploy != "serverless",
        "Tags": _tags(asked),
    }
    if asked.subnets:
        request["VpcConfig"] = {"Subnets": list(asked.subnets), "SecurityGroupIds": list(asked.security_groups)}
    return request


def _capacity(deployment: Deployment, gpu: bool) -> dict[str, Any]:
    if deployment.deploy == "serverless":
        return {"ServerlessConfig": {"MemorySizeInMB": deployment.memory_mb, "MaxConcurrency": deployment.concurrency}}
    ami = deployment.inference_ami or (GPU_AMI if gpu else None)
    return {
        "InstanceType": instance_name(deployment.serving_instance),
        "InitialInstanceCount": deployment.serving_machines,
        **({"InferenceAmiVersion": ami} if ami else {}),
    }


def _transform(asked: AskedSageMaker, deployment: Deployment, name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{str(deployment.images).rstrip('/')}/"}
    output: dict[str, Any] = {"S3OutputPath": asked.output, "Accept": "application/json"}
    return {
        "TransformJobName": name,
        "ModelName": name,
        "MaxConcurrentTransforms": 16,
        "MaxPayloadInMB": PAYLOAD_MB,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "application/x-image"},
        "TransformOutput": output | ({"KmsKeyId": asked.kms_key} if asked.kms_key else {}),
        "TransformResources": {
            "InstanceType": instance_name(deployment.serving_instance),
            "InstanceCount": deployment.serving_machines,
        },
        "Tags": _tags(asked),
    }


def _tags(asked: AskedSageMaker) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {"project": "hvdcells", **asked.tags}.items()]


@dataclass(frozen=True)
class ServingCost:
    """About what serving costs, by the dated table of prices."""

    usd_per_1000_cells: float
    """While it is busy; an endpoint with machines costs the same idle."""
    usd_per_hour: float | None
    """Of machines; None where nothing is paid between requests."""
    images_per_second: float
    as_of: str
    region: str

    def __str__(self) -> str:
        hourly = "nothing between requests" if self.usd_per_hour is None else f"{self.usd_per_hour:.3f} USD per hour"
        return (
            f"about {self.usd_per_1000_cells:.5f} USD for 1,000 cells at {self.images_per_second:g} images/s; {hourly} "
            f"(prices of {self.as_of}, {self.region}; S3, transfer and taxes not included)"
        )


def serving_cost(deployment: Deployment, prices: Catalogue) -> ServingCost:
    """Estimate what a deployment costs.

    Raises:
        UserError: the table has no price of the machine.
    """
    if deployment.deploy == "serverless":
        gib = deployment.memory_mb / 1024
        # A container has about one core up to 1.7 GB and more with more memory, which AWS does not promise: one.
        rate = deployment.images_per_second or IMAGES_PER_SECOND_AND_VCPU
        cells = 1000 / rate * gib * prices.serverless_gib_second_usd
        return ServingCost(round(cells, 6), None, rate, prices.as_of, prices.region)
    hourly = prices.known_usd_per_hour(instance_name(deployment.serving_instance), "sagemaker", False).most
    vcpus = prices.named(instance_name(deployment.serving_instance)).vcpus
    rate = deployment.images_per_second or IMAGES_PER_SECOND_AND_VCPU * vcpus
    return ServingCost(
        usd_per_1000_cells=round(1000 / rate * hourly / 3600, 6),
        usd_per_hour=round(hourly * deployment.serving_machines, 4),
        images_per_second=rate,
        as_of=prices.as_of,
        region=prices.region,
    )


def deploy(requests: list[Planned], sagemaker: Any) -> None:
    """Send the requests; what was made before one that fails is removed again.

    Raises:
        UserError: AWS refuses.
    """
    made: list[Planned] = []
    try:
        for each in requests:
            with aws_errors(f"asking for {each.operation}"):
                getattr(sagemaker, each.method)(**each.request)
            made.append(each)
    except BaseException:
        if made:
            undeploy(made[0].request["ModelName"], sagemaker)
        raise


def undeploy(name: str, sagemaker: Any) -> list[str]:
    """Remove an endpoint, its configuration and its model; return what was there. The export in S3 stays.

    Raises:
        UserError: AWS refuses.
    """
    from botocore.exceptions import ClientError

    removed = []
    for noun in ("endpoint", "endpoint_config", "model"):
        key = "".join(word.capitalize() for word in noun.split("_")) + "Name"
        with aws_errors(f"removing the {noun.replace('_', ' ')} {name}"):
            try:
                getattr(sagemaker, f"delete_{noun}")(**{key: name})
            except ClientError as error:
                message = error.response["Error"].get("Message", "").lower()
                if not any(word in message for word in ("could not find", "not found", "does not exist")):
                    raise
                continue
        removed.append(noun.replace("_", " "))
    return removed
