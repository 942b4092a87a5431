"""The entry point as SageMaker would start it, on a made-up /opt/ml: its work, its failures, its end by SIGTERM."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from launch.sagemaker.container.spark_cluster import PORT_VARIABLE
from launch.sagemaker.local import local_job, made_up, run_locally
from launch.sagemaker.metrics import DEFINITIONS, OBJECTIVE
from launch.sagemaker.options import Tuning
from launch.sagemaker.requests import processing_request, training_request, tuning_request
from tests.launch.sagemaker.launches import launch, pipeline
from tests.small_dataset import write_small_dataset
from tests.standalone import named_host
from tests.suite.spark_classes import java_options

TINY = {"training.epochs": "3", "data.batch_size": "8", "model.width": "0.1"}
EPOCHS = 12
"""So many that SIGTERM comes before the last one, however long it takes to be heard: epochs are short."""
GROUPS = {"train": [[16, 16], [16, 16]], "validation": [[8], [8]], "test": [[8], [8]]}
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    write_small_dataset(folder, GROUPS)
    return folder


def training(dataset, run, settings=None, **options):
    stages = pipeline("/nowhere", str(dataset), str(run), {**TINY, **(settings or {})})
    return training_request(launch(pipeline=stages, **options), "hvdcells-train-1")


def test_wrong_values_are_told_together_and_where_sagemaker_looks(dataset, tmp_path):
    request = training(dataset, tmp_path / "run", {"optimizer.learning_rat": "1", "model.dropout": "3"})
    request["HyperParameters"]["workers"] = "99"
    done = run_locally(request, tmp_path / "ml", environment={"MY_TOKEN": "planted-secret-word"})
    assert done.exit_code == 1
    for words in ("error: ", "optimizer.learning_rate", "workers='99'"):
        assert words in done.failure
        assert words in done.output
    assert "planted" not in done.output + done.failure
    assert not (tmp_path / "run").exists()


def test_other_commands_are_refused(tmp_path):
    request = processing_request(launch(), "hvdcells-etl-1")
    request["AppSpecification"]["ContainerEntrypoint"][-1] = "serve"
    done = run_locally(request, tmp_path)
    assert done.exit_code == 1
    assert "train, or process COMMAND" in done.failure


@pytest.mark.slow
def test_a_users_error_in_the_middle_is_the_failure_of_the_job(dataset, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("other files")
    done = run_locally(training(dataset, tmp_path / "run"), tmp_path / "ml")
    assert done.exit_code == 1
    assert done.failure.startswith("error: ")
    assert "already holds other files" in done.failure
    assert not done.model.exists()
    request = processing_request(
        launch(pipeline=pipeline(str(tmp_path / "none"), str(tmp_path / "dataset"), "")), "hvdcells-etl-1"
    )
    done = run_locally(request, tmp_path / "ml-2")
    assert done.exit_code == 1
    assert done.failure.startswith("error: ")
    assert (tmp_path / "ml-2" / "output" / "message").is_file()


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.aws
def test_a_spot_machine_is_taken_and_the_job_goes_on_from_its_checkpoint_in_s3(aws, dataset, tmp_path):
    """The same job twice: the first container gets SIGTERM after an epoch, the second one ends the run."""
    request = training(dataset, "s3://cells/run", {"training.epochs": str(EPOCHS)}, kms_key=KEY)
    command, more = made_up(request, tmp_path / "ml")
    environment = {**os.environ, **QUIET, **more}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith(f"epoch  2/{EPOCHS}"):
                process.terminate()
                break
        rest = process.stdout.read()
    first = local_job(request, tmp_path / "ml", process.returncode, rest)
    assert first.exit_code == 143
    assert first.failure is None
    assert "goes on from there" in rest
    assert OBJECTIVE in first.metrics
    assert not first.metrics[OBJECTIVE]

    s3 = aws.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="cells", Prefix="run/")["Contents"]]
    checkpoints = [key for key in keys if key.startswith("run/checkpoints/")]
    assert {Path(key).suffix for key in checkpoints} == {".npz", ".json"}
    for key in checkpoints:
        head = s3.head_object(Bucket="cells", Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)

    second = run_locally(request, tmp_path / "ml", environment=QUIET)
    assert second.exit_code == 0, second.output
    again = len(second.metrics["validation:weighted_f1"])
    # The line of an epoch is printed before its checkpoint is written, and SIGTERM may come between the two.
    assert 0 < again < EPOCHS
    # The metrics that SageMaker reads are those of the run.
    records = [json.loads(line) for line in (second.model / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == EPOCHS
    told = {"validation:weighted_f1": "weighted_f1", "validation:loss": "loss"}
    for name, score in told.items():
        assert second.metrics[name] == pytest.approx([each["validation"][score] for each in records[-again:]], abs=1e-4)
    assert second.metrics["train:loss"] == pytest.approx([each["loss"] for each in records[-again:]], abs=1e-4)
    assert len(second.metrics["train:images_per_second"]) == again
    assert set(second.metrics) == {each["Name"] for each in DEFINITIONS}
    best = json.loads((second.model / "finished.json").read_text())["best_epoch"]
    assert second.metrics[OBJECTIVE] == pytest.approx([records[best - 1]["validation"]["weighted_f1"]], abs=1e-6)
    assert (second.model / "model.keras").stat().st_size > 1000
    assert (second.model / "evaluation" / "test.json").is_file()


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.spark
def test_two_hosts_train_together(dataset, tmp_path):
    """Two containers, hosts of their own on loopback: Spark's master and a rank on the first, a rank on the other."""
    hosts = ("algo-1", "algo-2")
    request = tuning_request(
        launch(
            pipeline=pipeline("/nowhere", str(dataset), str(tmp_path / "runs"), TINY),
            tuning=Tuning(vary=("model.dropout=0,0.2",)),
        ),
        "hvdcells-tune-1",
    )["TrainingJobDefinition"]
    request = {"TrainingJobName": "job-1", "HyperParameters": request.pop("StaticHyperParameters"), **request}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = {}
    for host in hosts:
        command, more = made_up(request, tmp_path / host, hosts, host)
        # /opt/ml is the same folder on all hosts of SageMaker; here each has its own.
        (tmp_path / host / "input" / "config" / "inputdataconfig.json").write_text("{}")
        values = {**request["HyperParameters"], "dataset": str(dataset)}
        (tmp_path / host / "input" / "config" / "hyperparameters.json").write_text(json.dumps(values))
        with (tmp_path / f"{host}.log").open("wb") as log:
            processes[host] = subprocess.Popen(
                [*named_host(tmp_path, host, hosts), *command],
                env={**os.environ, **QUIET, **more, PORT_VARIABLE: str(port), "JAVA_TOOL_OPTIONS": java_options()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
    try:
        began = time.monotonic()
        codes = {host: process.wait(timeout=500 - (time.monotonic() - began)) for host, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()
    outputs = {host: (tmp_path / f"{host}.log").read_text() for host in hosts}
    assert codes == {"algo-1": 0, "algo-2": 0}, outputs
    (run,) = (tmp_path / "runs").glob("*/job-1")
    finished = json.loads((run / "finished.json").read_text())
    assert finished["ranks"] == 2
    assert sorted(finished["hosts"]) == list(hosts)
    assert not (run / "evaluation" / "test.json").exists()  # a tuning does not look at the test split
    done = local_job(request, tmp_path / "algo-1", 0, outputs["algo-1"])
    assert len(done.metrics[OBJECTIVE]) == 1
    assert len(done.metrics["validation:weighted_f1"]) == 3
    assert (tmp_path / "algo-1" / "model" / "model.keras").is_file()
    assert not (tmp_path / "algo-2" / "model").exists()
    assert "epoch" not in outputs["algo-2"]
