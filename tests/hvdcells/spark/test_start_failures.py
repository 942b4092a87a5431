"""Each cause for which Spark does not start has its own message and remedy. No JVM is started."""

import pytest

from hvdcells.errors import UserError
from hvdcells.spark import start_failures
from hvdcells.spark.start_failures import refuse_before_start, start_failure


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("JAVA_HOME", "PYSPARK_PYTHON"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "master",
    ["local", "local[2]", "local[*]", "local[2,3]", "local-cluster[2,1,1024]", "yarn", "k8s://https://h:443", None],
)
def test_masters_that_may_start_are_let_through(master):
    refused = None
    try:
        refuse_before_start(master, {})
    except UserError as error:
        refused = error
    assert refused is None


@pytest.mark.parametrize("master", ["nonsense://x", "local2", "local[2", "spark://host", "local-cluster[2,1]"])
def test_what_is_no_master_is_refused_with_what_one_is(master):
    with pytest.raises(UserError) as caught:
        refuse_before_start(master, {})
    assert repr(master) in caught.value.given
    assert "--master" in caught.value.remedy


def test_a_master_where_nothing_answers_is_refused(monkeypatch):
    monkeypatch.setattr(start_failures, "STARTING_SECONDS", 0)
    with pytest.raises(UserError, match="nothing answers") as caught:
        refuse_before_start("spark://127.0.0.1:1", {})
    assert "--master" not in caught.value.remedy
    assert "firewall" in caught.value.remedy


def test_a_master_that_is_starting_is_waited_for(monkeypatch):
    answers = iter((False, False, True))
    monkeypatch.setattr(start_failures, "_answers", lambda master: next(answers))
    refuse_before_start("spark://127.0.0.1:1", {})
    assert next(answers, None) is None


def test_a_wrong_java_and_a_wrong_python_are_told_together(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/no/such")
    monkeypatch.setenv("PYSPARK_PYTHON", "/no/such/python")
    with pytest.raises(UserError) as caught:
        refuse_before_start("local[2]", {})
    assert "JAVA_HOME=/no/such" in caught.value.given
    assert "PYSPARK_PYTHON=/no/such/python" in caught.value.given
    assert "--master" not in str(caught.value)


def test_a_python_of_a_cluster_may_be_missing_here(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "./environment/bin/python")
    refuse_before_start("yarn", {})
    with pytest.raises(UserError, match="PYSPARK_PYTHON"):
        refuse_before_start("local[2]", {})


@pytest.mark.parametrize(
    ("told", "remedy"),
    [
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.", "JAVA_HOME"),
        ("org.apache.spark.SparkException: Could not parse Master URL: 'x'", "--master"),
        ("When running with master 'yarn' either HADOOP_CONF_DIR or YARN_CONF_DIR must be set", "HADOOP_CONF_DIR"),
        (
            "An error occurred\n: java.lang.IllegalArgumentException: spark.x should be boolean",
            "spark.x should be boolean",
        ),
    ],
)
def test_what_java_tells_names_the_remedy(told, remedy):
    failure = start_failure("local[2]", RuntimeError(told))
    assert remedy in failure.remedy
    assert ("--master" in failure.remedy) == (remedy == "--master")
