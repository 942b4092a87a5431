"""What py4j logs of a call that failed is not shown: the call raises. No JVM is started."""

import logging

import py4j.java_gateway
import pytest

from hvdcells.spark.session import _not_of_py4j


@pytest.mark.parametrize(("place", "shown"), [(py4j.java_gateway.__file__, []), (__file__, ["told"])])
def test_py4j_adds_no_trace_to_an_error_and_others_still_log(caplog, place, shown):
    logger = logging.Logger("the root's stand-in")
    logger.addHandler(caplog.handler)
    logger.addFilter(_not_of_py4j)
    logger.handle(logging.LogRecord("root", logging.ERROR, place, 1, "told", (), None))
    assert [record.message for record in caplog.records] == shown
