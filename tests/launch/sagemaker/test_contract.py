"""What a container reads and leaves by SageMaker's contract, without running anything."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.errors import UserError
from launch.sagemaker.container.contract import Container
from launch.sagemaker.container.jobs import training_task


def made_up(root, *, hyperparameters=None, resources=None, channels=()):
    """Write what SageMaker would have put below /opt/ml."""
    config = root / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters or {}))
    (config / "inputdataconfig.json").write_text(json.dumps({name: {"TrainingInputMode": "File"} for name in channels}))
    if resources:
        (config / "resourceconfig.json").write_text(json.dumps(resources))
    return Container.read(root, {})


def test_hosts_channels_and_variables(tmp_path):
    hosts = ["algo-10", "algo-2", "algo-1"]
    told = {"current_host": "algo-2", "hosts": hosts, "network_interface_name": "eth0"}
    container = made_up(tmp_path, hyperparameters={"seed": "3"}, resources=told, channels=["dataset"])
    assert container.hosts == ("algo-1", "algo-2", "algo-10")
    assert not container.is_first
    assert container.channels == {"dataset": tmp_path / "input" / "data" / "dataset"}
    told = container.environment(4)
    assert json.loads(told["SM_HOSTS"]) == ["algo-1", "algo-2", "algo-10"]
    assert told["SM_CHANNEL_DATASET"] == str(tmp_path / "input" / "data" / "dataset")
    assert told["NCCL_SOCKET_IFNAME"] == "eth0"
    assert json.loads(told["SM_HPS"]) == {"seed": "3"}
    # The toolkit's variables alone say the same.
    again = Container.read(tmp_path / "nothing", told)
    assert (again.hosts, again.current_host, again.channels) == (container.hosts, "algo-2", container.channels)
    assert again.hyperparameters == {"seed": "3"}
    assert again.interface == "eth0"


def test_processing_has_its_own_place_for_hosts(tmp_path):
    (tmp_path / "config").mkdir()
    told = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (tmp_path / "config" / "resourceconfig.json").write_text(json.dumps(told))
    container = Container.read(tmp_path, {})
    assert container.is_first
    assert len(container.hosts) == 2


def test_nothing_at_all_is_one_host(tmp_path):
    container = Container.read(tmp_path, {})
    assert container.is_first
    assert container.channels == {}


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_files_that_are_no_objects_are_named(tmp_path, text):
    (tmp_path / "input" / "config").mkdir(parents=True)
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(text)
    with pytest.raises(UserError, match=r"hyperparameters\.json"):
        Container.read(tmp_path, {})


@given(st.text())
def test_a_failure_is_kept_as_one_kilobyte_of_utf8(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("ml")
    for is_training, name in ((True, "failure"), (False, "message")):
        Container(root).write_failure(text * 40, is_training)
        kept = (root / "output" / name).read_bytes()
        assert len(kept) <= 1024
        kept.decode()


def test_values_are_fields_of_the_experiment(tmp_path):
    values = {
        "run": "s3://cells/run",
        "recipe": '"small_cnn"',  # as SageMaker's Python SDK writes texts
        "optimizer.learning_rate": "0.02",
        "optimizer.gradient_clip_norm": "null",
        "workers": "2",
        "evaluate": "test",
        "_tuning_objective_metric": "kept:weighted_f1",
    }
    task = training_task(made_up(tmp_path, hyperparameters=values, channels=["dataset"]), {}, num_slots=4)
    train, judge = task.commands(["--master", "spark://algo-1:7077"])
    dataset = str(tmp_path / "input" / "data" / "dataset")
    assert train[:3] == ["train", dataset, "s3://cells/run"]
    assert "--resume" in train
    assert "optimizer.learning_rate=0.02" in train
    assert "optimizer.gradient_clip_norm=null" in train
    assert train[train.index("--workers") + 1] == "2"
    assert not any("_tuning" in word for word in train)
    assert judge[:4] == ["evaluate", "s3://cells/run", "--dataset", dataset]
    assert train[-2:] == ["--master", "spark://algo-1:7077"]


def test_each_training_of_a_tuning_has_its_own_run_and_is_not_judged_on_the_test_split(tmp_path):
    container = made_up(tmp_path, hyperparameters={"runs": "s3://cells/tuned"}, channels=["dataset"])
    task = training_task(container, {"TRAINING_JOB_NAME": "hvdcells-tune-1-003-ab"}, num_slots=1)
    assert task.run == "s3://cells/tuned/hvdcells-tune-1-003-ab"
    assert len(task.commands([])) == 1
    with pytest.raises(UserError, match="TRAINING_JOB_NAME"):
        training_task(container, {}, num_slots=1)


def test_all_that_is_wrong_with_the_values_is_told_together(tmp_path):
    values = {
        "optimizer.learning_rat": "0.1",
        "trainig.epochs": "2",
        "workers": "9",
        "dataset": "s3://me:planted-word@cells/dataset",
    }
    with pytest.raises(UserError) as caught:
        training_task(made_up(tmp_path, hyperparameters=values), {}, num_slots=2)
    for words in ("optimizer.learning_rate", "training.epochs", "workers='9'", "no run", "password"):
        assert words in str(caught.value)
    assert "planted-word" not in str(caught.value)
