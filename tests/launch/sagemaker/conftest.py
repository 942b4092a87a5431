"""SageMaker, S3 and CloudWatch Logs of a moto server over HTTP, and answers for what moto does not have."""

import json

import pytest
from typer.testing import CliRunner

from launch.aws import clients
from launch.cli import app
from tests.launch.sagemaker.launches import IMAGE, ROLE

ARGUMENTS = ["--dataset", "s3://cells/dataset", "--run", "s3://cells/runs/one", "--image", IMAGE, "--role", ROLE]


class Aws:
    """The account of the tests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        """Every operation that was asked of it, as `service:Operation`, with its parameters."""
        self.answers: dict[str, list] = {}
        """By operation: answers given instead of moto's, one after the other; a text is an error's code."""

    def client(self, service):
        return clients.client(service, "us-east-1")

    def note(self, params, model, **_):
        self.asked.append((f"{model.service_model.service_name}:{model.name}", dict(params)))

    def answer(self, request, operation_name):
        from botocore.awsrequest import AWSResponse

        waiting = self.answers.get(operation_name)
        if not waiting:
            return None
        given = waiting.pop(0)
        code, _, message = given.partition(": ") if isinstance(given, str) else ("", "", "")
        body = {"__type": code, "message": message} if code else given
        response = AWSResponse(request.url, 400 if code else 200, {}, None)
        response._content = json.dumps(body).encode()
        return response

    def jobs(self):
        """moto's own jobs, to change what became of them."""
        from moto.sagemaker.models import sagemaker_backends

        return sagemaker_backends["123456789012"]["us-east-1"]


@pytest.fixture
def aws(s3, monkeypatch):
    """An account with a bucket and nothing in it; no pauses."""
    account, made = Aws(), clients.client

    def client(service, region=None):
        here = made(service, region)
        here.meta.events.register("provide-client-params.*.*", account.note)
        here.meta.events.register(
            "before-send.sagemaker.*",
            lambda request, event_name, **_: account.answer(request, event_name.rpartition(".")[2]),
        )
        return here

    monkeypatch.setattr(clients, "client", client)
    monkeypatch.setattr("launch.sagemaker.job_state.POLL_SECONDS", 0.0)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    from moto.backends import get_backend

    for service in ("sagemaker", "s3", "logs"):
        for region in get_backend(service)["123456789012"].values():
            region.reset()
    made("s3", "us-east-1").create_bucket(Bucket="cells")
    return account


@pytest.fixture
def hvdcells():
    """Run the command in this process."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])
