"""Requests that serve a model on SageMaker: as they are on file, allowed by botocore's models, carried out by moto."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hvdcells.errors import UserError
from launch.cli import app
from launch.clusters.instances import catalogue
from launch.sagemaker.deployment import GPU_AMI, Deployment, deploy, new_name, planned, serving_cost, undeploy
from launch.sagemaker.options import AskedSageMaker

GOLDEN = Path(__file__).parent / "golden_deployments"
ACCOUNT = "123456789012"
MODEL = "s3://bucket/exports/model.tar.gz"
ASKED = AskedSageMaker(
    image=f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/hvdcells-serve:1",
    role=f"arn:aws:iam::{ACCOUNT}:role/hvdcells",
    region="us-east-1",
    output="s3://bucket/answers",
)
DEPLOYMENTS = {
    "serverless": (Deployment(deploy="serverless", model=MODEL), False),
    "realtime": (Deployment(deploy="realtime", model=MODEL), False),
    "realtime_gpu": (Deployment(deploy="realtime", model=MODEL, serving_instance="ml.g4dn.xlarge"), True),
    "batch": (Deployment(deploy="batch", model=MODEL, images="s3://bucket/cells"), False),
}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_requests_are_as_on_file(name):
    deployment, gpu = DEPLOYMENTS[name]
    requests = {each.operation: each.request for each in planned(ASKED, deployment, "hvdcells-1", gpu)}
    assert requests == json.loads((GOLDEN / f"{name}.json").read_text())


def test_machines_with_gpus_get_a_driver_that_fits_the_image():
    deployment, gpu = DEPLOYMENTS["realtime_gpu"]
    (variant,) = planned(ASKED, deployment, "x", gpu)[1].request["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == GPU_AMI
    own = deployment.model_copy(update={"inference_ami": "al2-ami-sagemaker-inference-gpu-2"})
    (variant,) = planned(ASKED, own, "x", gpu)[1].request["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-2"


def test_all_that_is_wrong_is_told_together():
    wrong = Deployment(deploy="batch", model="model.bin", inference_ami="x")
    with pytest.raises(UserError) as caught:
        planned(AskedSageMaker(subnets=("subnet-1",)), wrong, "a_name")
    for word in ("--image", "--role", "--images", "--output", ".tar.gz", "--name", "--inference-ami", "--subnet"):
        assert word in str(caught.value)


def test_what_the_model_of_the_service_refuses_is_refused_here():
    wrong = ASKED.model_copy(update={"role": "no role"})
    with pytest.raises(UserError, match="CreateModel"):
        planned(wrong, DEPLOYMENTS["realtime"][0], "x")


def test_a_thousand_cells_cost_what_their_time_costs():
    prices = catalogue()
    serverless = serving_cost(Deployment(deploy="serverless", memory_mb=2048, images_per_second=50), prices)
    assert serverless.usd_per_1000_cells == pytest.approx(1000 / 50 * 2 * prices.serverless_gib_second_usd)
    assert serverless.usd_per_hour is None
    busy = serving_cost(Deployment(deploy="realtime", serving_machines=2, images_per_second=100), prices)
    hourly = prices.named("m5.xlarge").sagemaker_usd
    assert busy.usd_per_1000_cells == pytest.approx(1000 / 100 * hourly / 3600, rel=1e-3)
    assert busy.usd_per_hour == pytest.approx(2 * hourly)


def test_a_dry_run_asks_nothing_of_aws(monkeypatch):
    monkeypatch.setattr("launch.aws.clients.client", lambda *_: pytest.fail("a client is made"))
    words = ["--image", ASKED.image, "--role", ASKED.role, "--region", "us-east-1", "--model", MODEL]
    done = CliRunner().invoke(app, ["launch", "sagemaker", "--deploy", "serverless", *words, "--dry-run"])
    assert done.exit_code == 0, done.exception
    shown = json.loads(done.stdout)
    assert list(shown["requests"]) == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
    assert shown["cost"]["usd_per_1000_cells"] > 0


@pytest.fixture
def sagemaker(monkeypatch):
    import boto3
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("sagemaker", "us-east-1")


@pytest.mark.aws
@pytest.mark.parametrize("name", ["serverless", "realtime"])
def test_an_endpoint_is_made_and_removed(sagemaker, name):
    deploy(planned(ASKED, DEPLOYMENTS[name][0], "cells"), sagemaker)
    assert sagemaker.describe_endpoint(EndpointName="cells")["EndpointConfigName"] == "cells"
    assert undeploy("cells", sagemaker) == ["endpoint", "endpoint config", "model"]
    assert undeploy("cells", sagemaker) == []
    assert sagemaker.list_models()["Models"] == []


@pytest.mark.aws
def test_what_was_made_before_a_refusal_is_removed(sagemaker):
    requests = planned(ASKED, DEPLOYMENTS["realtime"][0], "cells")
    requests[-1].request["EndpointConfigName"] = "another"
    with pytest.raises(UserError):
        deploy(requests, sagemaker)
    assert sagemaker.list_models()["Models"] == []


def test_names_fit():
    assert all(len(new_name(each)) <= 63 for each, _ in DEPLOYMENTS.values())
