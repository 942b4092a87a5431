"""Requests as the command prints them, held against committed files and botocore's model of EMR."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launch.aws.requests import check_request
from launch.cli import app

GOLDEN = Path(__file__).parent / "golden"
PLACES = ["--source", "s3://cells/images", "--dataset", "s3://cells/dataset", "--run", "s3://cells/runs/one"]
LAUNCHES = {
    "on_demand": [*PLACES, "--gpus", "4", "--instance", "g4dn.12xlarge"],
    "spot": [*PLACES, "--gpus", "4", "--spot", "--subnet", "subnet-0a1b2c3d", "--ebs-gib", "200", "--tag", "team=lab"],
    "fleet": [
        *(*PLACES, "--gpus", "4", "--spot", "--instance", "g4dn.xlarge", "--subnet", "subnet-0a1b2c3d"),
        *("--or-instance", "g5.xlarge", "--or-instance", "g4dn.2xlarge"),
    ],
    "cpu": [*PLACES, "--gpus", "0", "--workers", "3", "--recipe", "small_cnn", "--set", "training.epochs=5"],
    "bench": [*PLACES, "--gpus", "8", "--bench", "1,2,4,8", "--logs", "s3://logs/emr"],
    "fallback": [*PLACES, "--gpus", "1", "--release", "emr-7.13.0"],
    "keep": [*PLACES, "--gpus", "2", "--keep", "--idle-minutes", "45", "--security-configuration", "encrypted"],
    "build_environment": [
        "--build-environment",
        "--environment",
        "s3://cells/hvdcells/environment",
        "--logs",
        "s3://cells/hvdcells/logs",
        "--kms-key",
        "alias/cells",
    ],
    "attach": [*PLACES, "--gpus", "4", "--attach", "j-2AXXXXXXGAPLF"],
}


def dry_run(*options: str) -> dict:
    done = CliRunner().invoke(app, ["launch", "emr", *options, "--region", "us-east-1", "--dry-run"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def no_network(monkeypatch):
    """Whatever connects or asks for an address fails; variables that hold credentials are not there."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dry run asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", LAUNCHES)
def test_requests_are_the_committed_ones(name, no_network):
    printed = dry_run(*LAUNCHES[name])
    operation = "AddJobFlowSteps" if name == "attach" else "RunJobFlow"
    check_request("emr", operation, printed["request"])
    assert printed == json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_committed_request_belongs_to_a_launch():
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(LAUNCHES)


def test_what_the_request_promises(no_network):
    """What the committed files must hold, whatever is committed."""
    spot = dry_run(*LAUNCHES["spot"])["request"]
    primary, workers = spot["Instances"]["InstanceGroups"]
    assert (primary["InstanceRole"], primary["Market"]) == ("MASTER", "ON_DEMAND")
    assert (workers["InstanceRole"], workers["Market"], workers["InstanceCount"]) == ("CORE", "SPOT", 4)
    assert workers["EbsConfiguration"]["EbsBlockDeviceConfigs"][0]["VolumeSpecification"]["SizeInGB"] == 200
    assert spot["Instances"]["Ec2SubnetId"] == "subnet-0a1b2c3d"
    assert not spot["Instances"]["KeepJobFlowAliveWhenNoSteps"]
    assert [step["Name"].split()[-1] for step in spot["Steps"]] == ["etl", "train", "evaluate", "report"]
    assert {step["ActionOnFailure"] for step in spot["Steps"]} == {"TERMINATE_CLUSTER"}
    assert {"Key": "team", "Value": "lab"} in spot["Tags"]
    train = spot["Steps"][1]["HadoopJarStep"]["Args"]
    for setting in ("spark.executor.instances=4", "spark.task.resource.gpu.amount=1"):
        assert setting in train
    yarn = next(each for each in spot["Configurations"] if each["Classification"] == "yarn-site")["Properties"]
    assert yarn["yarn.nodemanager.container-executor.class"].endswith("LinuxContainerExecutor")
    assert spot["BootstrapActions"][0]["ScriptBootstrapAction"]["Args"][-1] == "--gpu"

    fleet = dry_run(*LAUNCHES["fleet"])
    instances = fleet["request"]["Instances"]
    assert "InstanceGroups" not in instances
    assert instances["Ec2SubnetIds"] == ["subnet-0a1b2c3d"]
    of = {each["InstanceFleetType"]: each for each in instances["InstanceFleets"]}
    assert [(of[kind]["TargetOnDemandCapacity"], of[kind]["TargetSpotCapacity"]) for kind in of] == [
        (1, 0),
        (1, 0),
        (0, 3),
    ]
    assert of["TASK"]["LaunchSpecifications"]["SpotSpecification"]["AllocationStrategy"] == "price-capacity-optimized"
    types = [each["InstanceType"] for each in of["TASK"]["InstanceTypeConfigs"]]
    assert types == ["g4dn.xlarge", "g5.xlarge", "g4dn.2xlarge"]
    assert {each["WeightedCapacity"] for each in of["TASK"]["InstanceTypeConfigs"]} == {1}
    labels = next(c for c in fleet["request"]["Configurations"] if c["Classification"] == "yarn-site")["Properties"]
    assert labels["yarn.node-labels.am.default-node-label-expression"] == "CORE"
    assert fleet["estimate"]["usd_least"] < fleet["estimate"]["usd"]
    assert "node-labels" not in json.dumps(spot)

    cpu = dry_run(*LAUNCHES["cpu"])["request"]
    assert "gpu" not in json.dumps(cpu)
    bench = dry_run(*LAUNCHES["bench"])["request"]
    assert [step["Name"] for step in bench["Steps"][1:]] == [f"hvdcells: train on {count}" for count in (1, 2, 4, 8)]
    runs = [next(word for word in step["HadoopJarStep"]["Args"] if "/workers-" in word) for step in bench["Steps"][1:]]
    assert len(set(runs)) == 4
    kept = dry_run(*LAUNCHES["keep"])["request"]
    assert kept["Instances"]["KeepJobFlowAliveWhenNoSteps"]
    assert kept["AutoTerminationPolicy"] == {"IdleTimeout": 45 * 60}
    # Two workers, and one machine that EMR keeps for the notebooks' service.
    assert [group["InstanceCount"] for group in kept["Instances"]["InstanceGroups"]] == [1, 3]
    assert "spark.executor.instances=2" in kept["Steps"][1]["HadoopJarStep"]["Args"]
    assert {step["ActionOnFailure"] for step in kept["Steps"]} == {"CANCEL_AND_WAIT"}
    attached = dry_run(*LAUNCHES["attach"])
    assert {step["ActionOnFailure"] for step in attached["request"]["Steps"]} == {"CONTINUE"}
    assert attached["estimate"]["usd"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpus", "4"], ["no --source", "no --dataset", "no --run"]),
        ([*PLACES, "--gpus", "2", "--bench", "1,4"], ["--bench 1,4", "from 1 to 2"]),
        ([*PLACES, "--bench", "one"], ["--bench one"]),
        ([*PLACES, "--primary", "m4.xlarge"], ["eth0", "--primary"]),
        ([*PLACES, "--instance", "p3.2xlarge"], ["p3.2xlarge", "g6.xlarge"]),
        ([*PLACES, "--instance", "m5.xlarge"], ["which has none"]),
        ([*PLACES, "--gpus", "2", "--workers", "3"], ["a worker for each GPU"]),
        (
            [*PLACES, "--idle-minutes", "0", "--logs", "/tmp/logs"],
            ["--idle-minutes 0", "--logs: the address /tmp/logs"],
        ),
        ([*PLACES, "--or-instance", "g5.xlarge"], ["--or-instance without --spot"]),
        ([*PLACES, "--spot", "--or-instance", "g5.12xlarge"], ["--or-instance g5.12xlarge, with 4 GPUs", "(1)"]),
        ([*PLACES, "--spot", "--instance", "g5.2xlarge", "--or-instance", "g5.xlarge"], ["4 cores", "(8)"]),
        ([*PLACES, "--spot", "--or-instance", "g4dn.xlarge"], ["each once"]),
        ([*PLACES, "--spot", "--gpus", "1", "--or-instance", "g5.xlarge"], ["--or-instance for one machine"]),
        ([*PLACES, "--attach", "j-2AXXXXXXGAPLF", "--keep"], ["--attach j-2AXXXXXXGAPLF with --keep"]),
        ([*PLACES, "--prices", "s3"], ["the price table s3"]),
        (["--build-environment", "--environment", "/opt", "--logs", "s3://cells/logs"], ["--environment"]),
    ],
)
def test_wrong_options_are_refused_together_before_anything_is_asked(options, words, no_network):
    from hvdcells.errors import UserError

    done = CliRunner().invoke(app, ["launch", "emr", *options, "--region", "us-east-1", "--dry-run"])
    assert isinstance(done.exception, UserError), done.output
    for word in words:
        assert word in str(done.exception)


def test_no_secret_is_in_requests_estimates_or_errors(monkeypatch, no_network):
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "wJalrPLANTEDsecretKEY0123456789",
        "AWS_SESSION_TOKEN": "FwoGPLANTEDtoken0123456789",
        "HF_TOKEN": "hf_PLANTED0123456789",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    for options in LAUNCHES.values():
        assert "PLANTED" not in json.dumps(dry_run(*options))
    signed = "https://cells.s3.amazonaws.com/images?X-Amz-Signature=PLANTED&X-Amz-Credential=PLANTED"
    for option, address in {
        "--source": signed,
        "--dataset": "s3://cells/dataset?X-Amz-Security-Token=PLANTED",
        "--run": "s3://user:PLANTED@cells/run",
        "--environment": signed,
        "--logs": signed,
    }.items():
        places = dict(zip(PLACES[::2], PLACES[1::2], strict=True)) | {option: address}
        words = [word for pair in places.items() for word in pair]
        done = CliRunner().invoke(app, ["launch", "emr", *words, "--region", "us-east-1", "--dry-run"])
        assert done.exit_code != 0
        assert option in str(done.exception)
        assert "PLANTED" not in done.output + str(done.exception)
