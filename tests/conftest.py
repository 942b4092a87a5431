"""Fixtures of all tests."""

from functools import cache

import hypothesis
import pytest

pytest_plugins = ["tests.suite.fast", "tests.suite.order", "tests.suite.leftovers", "tests.suite.signals"]

hypothesis.settings.register_profile("suite", deadline=None)  # an example waits when other workers need the cores
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def spark():
    """One Spark session for the whole test run."""
    from hvdcells.spark.session import spark_session

    with spark_session("local[2]") as session:
        yield session


@pytest.fixture(scope="session")
def aws_models():
    """botocore's descriptions of services are read once: each new client would parse megabytes of JSON again."""
    from botocore.loaders import JSONFileLoader

    with pytest.MonkeyPatch.context() as patch:
        read = cache(JSONFileLoader().load_file)
        patch.setattr(JSONFileLoader, "load_file", lambda self, path: read(path))
        yield


@pytest.fixture(scope="module")
def s3(aws_models):
    """An S3 double behind a proxy that can fail, and the environment in which everything finds it."""
    import s3fs
    from moto.server import ThreadedMotoServer

    from tests.etl.faulty_proxy import faulty_proxy

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with faulty_proxy(port) as (url, proxy), pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
