"""The commands against SageMaker, S3 and CloudWatch Logs of moto over HTTP.

moto completes every job at once and has no StopTrainingJob and no StopHyperParameterTuningJob; where a test needs
another course, it changes moto's own job or gives the answer itself.
"""

import json
import re

import pytest

from hvdcells.errors import UserError
from launch.sagemaker.job_state import state_of
from tests.launch.sagemaker.conftest import ARGUMENTS

pytestmark = pytest.mark.aws

ALL = ["launch", "sagemaker", *ARGUMENTS, "--source", "s3://cells/images", "--recipe", "small_cnn"]
NAME = re.compile(r"^hvdcells-\w+-\d{6}-\d{6}-[0-9a-f]{4}$", re.MULTILINE)


def with_dataset(aws):
    aws.client("s3").put_object(Bucket="cells", Key="dataset/manifest.json", Body=b"{}")


def started(aws, hvdcells, *more):
    """Launch a training; return its name."""
    with_dataset(aws)
    done = hvdcells(*ALL, "--stages", "train", *more)
    assert done.exit_code == 0, done.exception
    return NAME.findall(done.stdout)[0]


def operations(aws):
    return [operation for operation, _ in aws.asked]


def test_from_images_to_a_model(aws, hvdcells):
    done = hvdcells(*ALL, "--wait")
    assert done.exit_code == 0, done.exception
    etl, train = NAME.findall(done.stdout)
    asked = operations(aws)
    # The training is not asked for before the ETL has completed.
    assert asked.index("sagemaker:DescribeProcessingJob") < asked.index("sagemaker:CreateTrainingJob")
    assert f"{etl}: completed" in done.stdout
    assert f"{train}: completed" in done.stdout
    assert f"hvdcells sagemaker stop {train} --region us-east-1" in done.stderr
    sent = dict(aws.asked)["sagemaker:CreateTrainingJob"]
    assert sent["HyperParameters"]["run"] == "s3://cells/runs/one"
    assert sent["EnableManagedSpotTraining"] is False
    assert {"Key": "project", "Value": "hvdcells"} in sent["Tags"]
    assert hvdcells("sagemaker", "status", train).exit_code == 0


def test_a_dataset_that_is_there_is_not_made_again(aws, hvdcells):
    with_dataset(aws)
    done = hvdcells(*ALL)
    assert done.exit_code == 0, done.exception
    assert "sagemaker:CreateProcessingJob" not in operations(aws)
    assert "sagemaker:CreateTrainingJob" in operations(aws)


def test_a_failed_etl_ends_the_launch(aws, hvdcells):
    aws.answers["DescribeProcessingJob"] = [
        {"ProcessingJobName": "x", "ProcessingJobStatus": "InProgress"},
        {"ProcessingJobName": "x", "ProcessingJobStatus": "Failed", "ExitMessage": "error: no images"},
    ]
    done = hvdcells(*ALL)
    assert done.exit_code == 1
    assert "error: no images" in done.stdout
    assert "hvdcells sagemaker logs hvdcells-etl-" in done.stdout
    assert "sagemaker:CreateTrainingJob" not in operations(aws)


def test_a_failed_training_says_why(aws, hvdcells):
    name = started(aws, hvdcells)
    job = aws.jobs().training_jobs[name]
    job.training_job_status = job.secondary_status = "Failed"
    job.failure_reason = "AlgorithmError: error: the dataset at s3://me:planted@cells is gone"
    aws.answers["DescribeTrainingJob"] = [
        {"TrainingJobName": name, "TrainingJobStatus": "Failed", "FailureReason": job.failure_reason}
    ] * 2
    for command in ("status", "wait"):
        done = hvdcells("sagemaker", command, name)
        assert done.exit_code == 1
        assert "is gone" in done.stdout
        assert "planted" not in done.stdout


def test_logs_of_all_hosts(aws, hvdcells):
    name = started(aws, hvdcells)
    done = hvdcells("sagemaker", "logs", name)
    assert isinstance(done.exception, UserError)
    assert "wait a few minutes" in str(done.exception)
    logs, group = aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    logs.create_log_group(logGroupName=group)
    import time

    now = int(time.time() * 1000)
    for number, stream in enumerate((f"{name}/algo-1-1", f"{name}/algo-2-1")):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        message = f"line of {stream} from s3://me:planted@cells"
        logs.put_log_events(
            logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": now + number, "message": message}]
        )
    done = hvdcells("sagemaker", "logs", name)
    assert done.exit_code == 0, done.exception
    assert [f"line of {name}/algo-{n}-1" in line for n, line in enumerate(done.stdout.splitlines(), 1)] == [True, True]
    assert "planted" not in done.stdout
    # moto gives the streams of all jobs; AWS is asked for this one's.
    assert dict(aws.asked)["logs:FilterLogEvents"] == {"logGroupName": group, "logStreamNamePrefix": f"{name}/"}


def test_stopping_a_training(aws, hvdcells):
    name = started(aws, hvdcells)
    aws.jobs().training_jobs[name].training_job_status = "InProgress"
    aws.answers["StopTrainingJob"] = [{}]
    done = hvdcells("sagemaker", "stop", name)
    assert done.exit_code == 0, done.exception
    assert "is stopping" in done.stdout
    assert aws.asked[-1] == ("sagemaker:StopTrainingJob", {"TrainingJobName": name})
    aws.jobs().training_jobs[name].training_job_status = "Stopped"
    assert hvdcells("sagemaker", "wait", name).exit_code == 1
    assert "already" in hvdcells("sagemaker", "stop", name).stdout


def test_stopping_an_etl(aws, hvdcells):
    done = hvdcells(*ALL, "--stages", "etl")
    name = NAME.findall(done.stdout)[0]
    aws.jobs().processing_jobs[name].processing_job_status = "InProgress"
    assert "is stopping" in hvdcells("sagemaker", "stop", name).stdout
    assert aws.jobs().processing_jobs[name].processing_job_status == "Stopped"


def test_a_tuning_tells_its_best_training(aws, hvdcells):
    with_dataset(aws)
    done = hvdcells(*ALL, "--stages", "tune", "--vary", "model.dropout=0,0.2", "--jobs", "2")
    assert done.exit_code == 0, done.exception
    name = NAME.findall(done.stdout)[0]
    assert state_of(aws.client("sagemaker"), name).kind.stage == "tune"
    best = {
        "TrainingJobName": f"{name}-002-0a",
        "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "kept:weighted_f1", "Value": 0.8125},
    }
    answer = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobStatus": "InProgress",
        "TrainingJobStatusCounters": {"Completed": 1, "InProgress": 1, "Stopped": 0},
        "BestTrainingJob": best,
    }
    aws.answers["DescribeHyperParameterTuningJob"] = [answer, {**answer, "HyperParameterTuningJobStatus": "Completed"}]
    done = hvdcells("sagemaker", "wait", name)
    assert done.exit_code == 0
    assert f"1 completed, 1 inprogress; best 0.8125 by {name}-002-0a" in done.stdout
    aws.answers["DescribeHyperParameterTuningJob"] = [answer]
    aws.answers["StopHyperParameterTuningJob"] = [{}]
    assert "is stopping" in hvdcells("sagemaker", "stop", name).stdout


def test_ctrl_c_leaves_the_job_and_says_how_to_stop_it(aws, hvdcells, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    name = started(aws, hvdcells)
    aws.jobs().training_jobs[name].training_job_status = "InProgress"
    monkeypatch.setattr("launch.sagemaker.job_state.state_of", interrupted)
    done = hvdcells("sagemaker", "wait", name, "--region", "us-east-1")
    assert done.exit_code == 130
    assert f"hvdcells sagemaker stop {name} --region us-east-1" in done.stdout
    assert aws.jobs().training_jobs[name].training_job_status == "InProgress"


def test_ctrl_c_while_a_job_is_asked_for_names_it(aws, hvdcells, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with_dataset(aws)
    monkeypatch.setattr("launch.sagemaker.submission.start_job", interrupted)
    done = hvdcells(*ALL, "--stages", "train")
    assert done.exit_code == 130
    assert re.search(r"hvdcells sagemaker stop hvdcells-train-[\w-]+ --region us-east-1", done.stderr)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "ResourceLimitExceeded: The account-level service limit 'ml.g4dn.xlarge for training job usage' is 0",
            "Quotas",
        ),
        ("AccessDeniedException: User is not authorized to perform: iam:PassRole on resource x", "iam:PassRole"),
        ("ValidationException: Could not assume role arn:aws:iam::123456789012:role/cells", "--dry-run"),
    ],
)
def test_refusals_say_what_to_do(aws, hvdcells, code, words):
    with_dataset(aws)
    aws.answers["CreateTrainingJob"] = [code]
    done = hvdcells(*ALL, "--stages", "train")
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)
    assert not NAME.findall(done.stdout)


def test_a_throttled_api_is_asked_again(aws, hvdcells, monkeypatch):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with_dataset(aws)
    aws.answers["CreateTrainingJob"] = ["ThrottlingException: Rate exceeded"] * 3
    assert hvdcells(*ALL, "--stages", "train").exit_code == 0
    aws.answers["CreateTrainingJob"] = ["ThrottlingException: Rate exceeded"] * 9
    done = hvdcells(*ALL, "--stages", "train")
    assert isinstance(done.exception, UserError)
    assert "after 6 tries" in str(done.exception)


def test_buckets_are_looked_at_first(aws, hvdcells):
    done = hvdcells(*ALL, "--stages", "train")
    assert "no dataset" in str(done.exception)
    done = hvdcells(*ALL, "--output", "s3://nowhere/models")
    assert "aws s3 mb" in str(done.exception)
    aws.client("s3").create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    done = hvdcells(*ALL, "--output", "s3://far/models")
    assert "eu-west-1" in str(done.exception)
    assert not any("Create" in operation for operation in operations(aws) if operation.startswith("sagemaker"))


def test_wrong_regions_and_wrong_names(aws, hvdcells):
    done = hvdcells(*ALL, "--region", "us-esat-1", "--image", ARGUMENTS[5].replace("us-east-1", "us-esat-1"))
    assert "us-east-1" in str(done.exception)
    done = hvdcells("sagemaker", "status", "hvdcells-train-none")
    assert isinstance(done.exception, UserError)
    assert "none of that name in us-east-1" in str(done.exception)


def test_nothing_secret_is_sent(aws, hvdcells, monkeypatch):
    for name in ("AWS_SESSION_TOKEN", "WANDB_API_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, "planted-secret-word")
    started(aws, hvdcells)
    assert "planted" not in json.dumps(aws.asked, default=str)
