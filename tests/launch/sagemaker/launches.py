"""What the tests launch."""

from launch.sagemaker.options import SageMakerLaunch, Tuning
from launch.stages import Pipeline

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/hvdcells:0.1.0"
ROLE = "arn:aws:iam::123456789012:role/cells"


def pipeline(source="s3://cells/images", dataset="s3://cells/dataset", run="s3://cells/runs/one", settings=None):
    """Stages at these places, of the small CNN with single fields changed."""
    return Pipeline(source=source, dataset=dataset, run=run, settings=settings or {})


def launch(**options):
    """A launch with single options changed."""
    given = {"pipeline": pipeline(), "image": IMAGE, "role": ROLE, "region": "us-east-1", "output": "s3://cells/models"}
    return SageMakerLaunch(**{**given, **options})


LAUNCHES = {
    "etl": (launch(stages=("etl",)), "etl"),
    "etl_on_three": (
        launch(
            etl_arguments=("--image-size", "96"),
            stages=("etl",),
            etl_machines=3,
            encrypt_traffic=True,
            subnets=("subnet-0a",),
            security_groups=("sg-0a",),
        ),
        "etl",
    ),
    "train": (launch(stages=("train",)), "train"),
    "train_on_spot": (
        launch(
            stages=("train",),
            spot=True,
            machines=2,
            instance="ml.g4dn.12xlarge",
            input_mode="FastFile",
            kms_key="arn:aws:kms:us-east-1:123456789012:key/0a",
            max_hours=3,
            max_wait_hours=8,
            subnets=("subnet-0a", "subnet-0b"),
            security_groups=("sg-0a",),
            tags={"team": "haematology"},
        ),
        "train",
    ),
    "tune": (
        launch(
            stages=("tune",),
            pipeline=pipeline(run="s3://cells/tuned", settings={"training.epochs": "4"}),
            tuning=Tuning(
                vary=("optimizer.learning_rate=0.001..0.1:log", "data.batch_size=16..64", "model.dropout=0,0.2"),
                jobs=8,
                parallel=4,
            ),
        ),
        "tune",
    ),
    "train_on_one_of_three": (
        launch(stages=("train",), instance="ml.g6.xlarge", or_instances=("g5.xlarge", "ml.g4dn.xlarge"), machines=2),
        "train",
    ),
    "train_and_stay_warm": (launch(stages=("train",), keep_warm_minutes=30), "train"),
    "tune_by_hyperband": (
        launch(
            stages=("tune",),
            pipeline=pipeline(settings={"training.epochs": "9"}),
            tuning=Tuning(vary=("optimizer.learning_rate=0.001..0.1:log",), strategy="Hyperband", min_epochs=2),
        ),
        "tune",
    ),
    "tune_on_a_grid": (
        launch(stages=("tune",), tuning=Tuning(vary=("optimizer.learning_rate=0.01,0.1",), jobs=2, strategy="Grid")),
        "tune",
    ),
}
"""By name of the golden file: what is launched and the stage of the request."""
