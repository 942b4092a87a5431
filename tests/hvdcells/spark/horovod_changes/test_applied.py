"""All changes to Horovod together: made for one release, undone after a job, and a job that ends without a word."""

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from horovod.runner import gloo_run, launch
from horovod.runner.common.util import network, secret
from horovod.runner.http import http_server
from horovod.spark import gloo_run as spark_gloo_run
from horovod.spark import runner
from horovod.spark.driver.driver_service import SparkDriverService

from hvdcells.errors import UserError
from hvdcells.spark.backends import HorovodOnSpark
from hvdcells.spark.horovod_changes import applied, patching

pytestmark = pytest.mark.tensorflow

CHANGED = (
    (launch, "gloo_built"),
    (SparkDriverService, "get_common_interfaces"),
    (runner, "_make_mapper"),
    (network, "shutil"),
    (threading, "excepthook"),
    (spark_gloo_run, "_exec_command_fn"),
    (gloo_run, "register_shutdown_event"),
    (gloo_run, "RendezvousServer"),
    (secret, "make_secret_key"),
    (network, "find_port"),
    (http_server, "find_port"),
    (network.Wire, "read"),
)


def current():
    return [vars(owner)[name] for owner, name in CHANGED] + [
        signal.getsignal(number) for number in signal.valid_signals()
    ]


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_all_is_undone_at_the_end_of_the_block(error):
    before = current()
    try:
        with applied():
            gloo_run.register_shutdown_event()
            inside = current()
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert not [name for (_, name), one, other in zip(CHANGED, before, inside, strict=False) if one is other]
    assert current() == before


@pytest.mark.parametrize("installed", ["0.28.0", "0.29.0", None])
def test_another_horovod_is_refused_before_a_run_begins_and_nothing_is_changed(installed, monkeypatch):
    def version(name):
        if installed is None:
            raise patching.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(patching, "version", version)
    before = current()
    with pytest.raises(UserError, match=f"Horovod {installed}" if installed else "no Horovod") as raised, applied():
        pass
    assert "Horovod 0.28.1" in raised.value.expected
    assert "make setup" in raised.value.remedy
    assert current() == before
    with pytest.raises(UserError, match="in this environment"):
        HorovodOnSpark(1).check()


JOB = """
import sys
from hvdcells.spark.backends import HorovodOnSpark

print(HorovodOnSpark(2).run("tests.hvdcells.spark.horovod_changes.ports_seen:seen_from_a_rank", None, sys.argv[1]))
"""


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_a_job_of_two_ranks_listens_on_loopback_alone_refuses_strangers_and_leaves_no_semaphores(tmp_path):
    """Python's resource tracker would name them, on the standard error of the tasks, which is that of the command."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "HVDCELLS_RANK_SERVER": "0"}
    command = [sys.executable, "-c", JOB, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    for seen in ast.literal_eval(done.stdout.splitlines()[-1]):
        # Driver and tasks of Horovod, its rendezvous, gloo, the block manager and the gateway of Spark.
        assert len(seen["listening"]) >= 6
        assert set(seen["listening"]) == {"127.0.0.1"}
        assert seen["without token"] == 403
        assert seen["with token"] == 404  # no such key, and no refusal
    assert "leaked" not in done.stderr
