"""Requests to SageMaker: as they are on file, allowed by botocore's models, and refused for what is wrong in them."""

import json
from pathlib import Path

import pytest

from hvdcells.errors import UserError
from launch.aws.estimate import estimate
from launch.clusters.instances import catalogue
from launch.sagemaker.kinds import KINDS, new_name
from launch.sagemaker.options import STAGES, Tuning
from launch.sagemaker.requests import machines, training_request, tuning_request
from launch.sagemaker.submission import planned_requests
from launch.sagemaker.tuning import parameter_ranges
from tests.launch.sagemaker.conftest import ARGUMENTS
from tests.launch.sagemaker.launches import LAUNCHES, launch, pipeline

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", LAUNCHES)
def test_requests_are_as_on_file(name):
    asked, stage = LAUNCHES[name]
    request = planned_requests(asked, {stage: f"hvdcells-{stage}-1"})[stage]
    assert request == json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_file_is_of_a_request():
    assert {file.stem for file in GOLDEN.iterdir()} == set(LAUNCHES)


@pytest.mark.parametrize("name", LAUNCHES)
def test_botocore_would_send_them(name, monkeypatch):
    import boto3
    from botocore.stub import Stubber

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    asked, stage = LAUNCHES[name]
    kind = KINDS[stage]
    request = kind.request(asked, "hvdcells-1")
    here = boto3.client("sagemaker", "us-east-1")
    with Stubber(here) as stubber:
        arn = f"{kind.name_key.removesuffix('Name')}Arn"
        stubber.add_response(kind.create, {arn: "arn:aws:sagemaker:us-east-1:123456789012:job/x"}, request)
        answer = getattr(here, kind.create)(**request)
        stubber.assert_no_pending_responses()
    assert answer[arn].endswith("job/x")


def test_names_fit_all_kinds():
    for stage in STAGES:
        assert len(new_name(stage)) <= (32 if stage == "tune" else 63)
        assert new_name(stage) != new_name(stage)


def test_all_that_is_wrong_is_told_together():
    wrong = launch(
        pipeline=pipeline("images", run="/runs", settings={"optimizer.learning_rat": "1"}),
        image="docker.io/hvdcells",
        subnets=("subnet-0a",),
        stages=("etl", "train", "tune"),
        spot=True,
        max_hours=300,
        max_wait_hours=1,
        tuning=Tuning(vary=("model.dropout=0,0.2",), jobs=1, parallel=2),
    )
    with pytest.raises(UserError) as caught:
        wrong.check()
    for words in ("--source", "--run", "docker.io", "--security-group", "--max-hours", "--max-wait", "--parallel"):
        assert words in str(caught.value)
    assert "optimizer.learning_rate" in str(caught.value)


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ((), "--vary"),
        (("model.dropot=0,0.2",), "model.dropout"),
        (("model.dropout=0..3",), "model.dropout=3"),
        (("optimizer.name=adam,adamm",), "adamm"),
        (("training.epochs=2,4",), "leave one of them out"),
    ],
)
def test_a_tuning_is_looked_at_before_it_costs(vary, words):
    with pytest.raises(UserError, match=words):
        launch(stages=("tune",), tuning=Tuning(vary=vary), pipeline=pipeline(settings={"training.epochs": "4"})).check()


def test_a_grid_has_its_combinations():
    grid = Tuning(vary=("model.dropout=0,0.2", "data.batch_size=16,32,64"), jobs=1, parallel=3, strategy="Grid")
    assert grid.num_trainings == 6
    launch(stages=("tune",), tuning=grid).check()
    ranged = Tuning(vary=("model.dropout=0..0.5",), jobs=1, parallel=1, strategy="Grid")
    with pytest.raises(UserError, match="in a grid"):
        launch(stages=("tune",), tuning=ranged).check()


def test_an_image_of_another_region_is_refused():
    with pytest.raises(UserError, match="eu-west-1"):
        launch(region="eu-west-1").check()
    with pytest.raises(UserError, match="RoleArn"):
        planned_requests(launch(role="cells", stages=("etl",)), {"etl": "x"})


def test_ranges_keep_their_ends():
    made = parameter_ranges(["a=1..5", "b=0.25..0.75", "c=1e-5..0.1:log", "d=x,y"])
    assert made["IntegerParameterRanges"] == [{"Name": "a", "MinValue": "1", "MaxValue": "5", "ScalingType": "Linear"}]
    assert made["ContinuousParameterRanges"] == [
        {"Name": "b", "MinValue": "0.25", "MaxValue": "0.75", "ScalingType": "Linear"},
        {"Name": "c", "MinValue": "1e-05", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
    ]
    assert made["CategoricalParameterRanges"] == [{"Name": "d", "Values": ["x", "y"]}]


def test_the_cost_counts_every_job_and_machine():
    prices = catalogue()
    tuning = Tuning(vary=("model.dropout=0,0.2",), jobs=7, parallel=3)
    asked = launch(stages=STAGES, machines=2, etl_machines=3, tuning=tuning, spot=True)
    rows = {row.role: row for row in estimate(machines(asked, 2.0, 0.5), 2.0, prices).rows}
    hourly = prices.named("m5.2xlarge").sagemaker_usd + 100 * prices.ebs_gib_month_usd / 730
    assert rows["etl"].usd == pytest.approx(3 * 0.5 * hourly, abs=1e-3)
    assert rows["etl"].market == "on demand"
    assert rows["training"].count == 2
    assert rows["tuning"].count == 6
    assert rows["tuning"].hours == 6.0  # three rounds of two hours
    assert rows["tuning"].market == "spot"


def test_a_dry_run_asks_nothing_of_aws(hvdcells, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a client was made")

    monkeypatch.setattr("boto3.Session.client", never)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    planted = {
        "AWS_SECRET_ACCESS_KEY": "planted-secret-key",
        "HF_TOKEN": "planted-token",
        "MY_PASSWORD": "planted-word",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    done = hvdcells(
        "launch", "sagemaker", *ARGUMENTS, "--source", "s3://cells/images", "--stages", "etl,train,tune",
        "--vary", "model.dropout=0,0.2", "--dry-run",
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert list(printed["requests"]) == ["etl", "train", "tune"]
    assert printed["estimate"]["usd"] > 0
    assert "planted" not in done.output


@pytest.mark.parametrize(
    "options",
    [
        {"pipeline": pipeline(settings={"model.weights": "s3://me:planted-1@b/w"})},
        {"tags": {"url": "https://host/x?X-Amz-Signature=planted-1"}},
        {"tags": {"note": "planted-word"}},
    ],
)
def test_no_secret_gets_into_a_request(options, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "planted-word")
    with pytest.raises(UserError, match="a secret in the request") as caught:
        planned_requests(launch(stages=("train",), **options), {"train": "x"})
    assert "planted" not in str(caught.value)


def test_addresses_with_secrets_are_refused_and_not_repeated(hvdcells):
    address = "s3://key:planted-secret@cells/dataset"
    done = hvdcells(
        "launch", "sagemaker", *ARGUMENTS, "--dataset", address, "--region", "us-east-1", "--stages", "train",
        "--dry-run",
    )  # fmt: skip
    assert isinstance(done.exception, UserError)
    assert "planted" not in f"{done.output}{done.exception}"


def test_what_is_missing_is_told_together(hvdcells):
    done = hvdcells("launch", "sagemaker", "--stages", "etl,trian", "--region", "us-east-1")
    assert isinstance(done.exception, UserError)
    for words in ("--source", "--dataset", "--run", "--image", "--role", "--stages etl,trian"):
        assert words in str(done.exception)


def test_a_list_of_types_stands_in_place_of_one_type_and_of_spot():
    """InstancePreferences excludes InstanceType and managed spot training, in the words of botocore's model."""
    resources = training_request(LAUNCHES["train_on_one_of_three"][0], "x")["ResourceConfig"]
    types = [each["InstanceType"] for each in resources["InstancePreferences"]]
    assert types == ["ml.g6.xlarge", "ml.g5.xlarge", "ml.g4dn.xlarge"]
    assert "InstanceType" not in resources
    assert resources["InstanceCount"] == 2


def test_hyperband_stops_trainings_by_a_score_of_every_epoch():
    config = tuning_request(LAUNCHES["tune_by_hyperband"][0], "x")["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"]["MetricName"] == "validation:weighted_f1"
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 9}}
    assert config["TrainingJobEarlyStoppingType"] == "Off"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"or_instances": ("ml.g5.xlarge",), "spot": True}, "--or-instance with --spot"),
        ({"or_instances": ("ml.g4dn.xlarge",)}, "each type once"),
        ({"or_instances": ("a", "b", "c", "d", "e")}, "at most 5"),
        ({"keep_warm_minutes": 400}, "at most 360"),
        ({"keep_warm_minutes": 5, "spot": True}, "trainings on demand"),
        (
            {"stages": ("tune",), "tuning": Tuning(vary=("model.dropout=0,0.2",), strategy="Hyperband", min_epochs=99)},
            "--min-epochs 99",
        ),
        (
            {"stages": ("tune",), "or_instances": ("ml.g5.xlarge",), "tuning": Tuning(vary=("model.dropout=0,0.2",))},
            "for a tuning",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        launch(**{"stages": ("train",), **options}).check()


def test_the_cost_of_several_types_is_a_range_and_warm_machines_are_paid_for():
    prices = catalogue()
    types = {"instance": "ml.g4dn.xlarge", "or_instances": ("ml.g5.xlarge",)}
    [row] = estimate(machines(launch(stages=("train",), **types), 2.0, 0.5), 2.0, prices).rows
    disk = 100 * prices.ebs_gib_month_usd / 730
    assert row.usd_least == pytest.approx(2 * (prices.named("g4dn.xlarge").sagemaker_usd + disk), abs=1e-3)
    assert row.usd == pytest.approx(2 * (prices.named("g5.xlarge").sagemaker_usd + disk), abs=1e-3)
    assert row.instance_type == "ml.g4dn.xlarge or ml.g5.xlarge"
    [warm] = estimate(machines(launch(stages=("train",), keep_warm_minutes=30), 2.0, 0.5), 2.0, prices).rows
    assert warm.hours == 2.5
