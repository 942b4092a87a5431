"""Starting jobs on SageMaker: what is looked at first, and the requests that cost money."""

from collections.abc import Iterator
from typing import Any

from hvdcells.errors import UserError, raise_together
from hvdcells.secrets import without_secrets
from launch.aws.buckets import bucket_and_key, problems_of_buckets
from launch.aws.errors import aws_errors
from launch.aws.requests import check_request
from launch.sagemaker.kinds import KINDS
from launch.sagemaker.options import JobStage, SageMakerLaunch

MANIFEST = "manifest.json"


def planned_requests(launch: SageMakerLaunch, names: dict[JobStage, str]) -> dict[JobStage, dict[str, Any]]:
    """Return the requests as a dry run shows them: checked for their form, with nothing asked of AWS.

    Args:
        launch: what is launched.
        names: of the jobs, by stage.

    Raises:
        UserError: options that do not fit, or requests that SageMaker would refuse for their form.
    """
    launch.check()
    requests = {stage: KINDS[stage].request(launch, names[stage]) for stage in launch.stages}
    for stage, request in requests.items():
        check_no_secrets(request)
        check_request("sagemaker", KINDS[stage].operation, request)
    return requests


def check_no_secrets(request: dict[str, Any]) -> None:
    """Refuse a request with a password, a signed address or the value of a secret variable anywhere in it.

    Raises:
        UserError: the words that hold it, without it.
    """
    for word in _texts(request):
        if (hidden := without_secrets(word)) != word:
            raise UserError(
                f"a secret in the request: {hidden}",
                "none: whoever may describe the job reads it",
                "leave it out; the jobs have the rights of their role",
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def check_places(launch: SageMakerLaunch, s3: Any) -> None:
    """Refuse buckets that are missing, forbidden or in another region, and a dataset that nobody makes.

    Raises:
        UserError: all that is wrong, together.
    """
    places = [launch.pipeline.dataset, launch.pipeline.run, launch.output]
    places += [launch.pipeline.source] if "etl" in launch.stages else []
    problems = problems_of_buckets(s3, places, launch.region)
    if not problems and "etl" not in launch.stages and not has_dataset(launch, s3):
        problems.append(
            UserError(
                f"no dataset at {launch.pipeline.dataset}",
                "a finished one, with its manifest.json",
                "make it first: --stages etl,train and --source",
            )
        )
    raise_together(problems)


def has_dataset(launch: SageMakerLaunch, s3: Any) -> bool:
    """Whether the dataset is there, whole: its manifest is written last."""
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(f"{launch.pipeline.dataset.rstrip('/')}/{MANIFEST}")
    with aws_errors(f"looking for s3://{bucket}/{key}"):
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
    return True


def start_job(stage: JobStage, request: dict[str, Any], sagemaker: Any) -> str:
    """Start one job; return its name, which is in the request already.

    Raises:
        UserError: AWS refuses.
    """
    kind = KINDS[stage]
    with aws_errors(f"starting the job {request[kind.name_key]}"):
        getattr(sagemaker, kind.create)(**request)
    return str(request[kind.name_key])
