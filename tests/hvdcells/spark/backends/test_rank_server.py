"""The rank server: a forked rank is to its client what a process of its own would be."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from hvdcells.spark.backends import rank_server
from hvdcells.spark.backends.rank_server import RankServer, rank_executable

MODULE = """
    import os, sys, tempfile, time
    print("hello from", sys.argv[1:], os.environ["HVDCELLS_TEST"], os.getcwd(), "json" in sys.modules, flush=True)
    if sys.argv[1] == "exit": sys.exit(int(sys.argv[2]))
    if sys.argv[1] == "raise": raise ValueError("on purpose")
    if sys.argv[1] == "kill":
        print(tempfile.mkdtemp(), flush=True)
        os.kill(os.getpid(), 9)
    if sys.argv[1] == "wait":
        print(os.getpid(), flush=True)
        time.sleep(600)
"""


@pytest.fixture
def start(tmp_path):
    """Start a rank with some arguments; the module it runs lies in a folder that only the client knows."""
    (tmp_path / "some_rank_module.py").write_text(textwrap.dedent(MODULE))
    server = RankServer(["json"], {**os.environ, "HVDCELLS_TEST": "of the server"})

    def start(*arguments):
        return subprocess.Popen(
            [str(server.executable), "-m", "some_rank_module", *arguments],
            env={**os.environ, "HVDCELLS_TEST": "of the client", "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    yield start
    server.close()
    assert not server.executable.exists()


@pytest.mark.parametrize("code", [0, 3])
def test_a_rank_has_the_arguments_environment_folder_streams_and_exit_code_of_its_client(start, tmp_path, code):
    client = start("exit", str(code))
    out, err = client.communicate(timeout=60)
    assert out == f"hello from ['exit', '{code}'] of the client {tmp_path} True\n"
    assert (client.returncode, err) == (code, "")


def test_an_exception_is_shown_and_ends_the_client_with_1(start):
    client = start("raise")
    _, err = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "ValueError: on purpose" in err


def test_a_killed_rank_ends_its_client_by_the_same_signal_and_what_it_leaves_goes_with_the_server(start):
    client = start("kill")
    out, _ = client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL
    left = Path(out.splitlines()[1])
    assert left.is_dir()
    assert left.parent == Path(client.args[0]).parent  # the folder that `close` removes


def test_ranks_of_one_server_do_not_wait_for_each_other(start):
    waiting = [start("wait"), start("wait")]
    pids = [[client.stdout.readline(), int(client.stdout.readline())][1] for client in waiting]
    assert len(set(pids)) == 2
    quick = start("exit", "0")
    quick.communicate(timeout=60)
    assert quick.returncode == 0
    waiting[0].kill()
    psutil.wait_procs([psutil.Process(pids[0])] if psutil.pid_exists(pids[0]) else [], timeout=30)
    assert not psutil.pid_exists(pids[0]), "a rank whose client is gone is killed"
    assert psutil.pid_exists(pids[1])
    waiting[1].kill()
    for client in waiting:
        client.communicate(timeout=60)


def test_when_the_driver_is_killed_server_and_ranks_end(tmp_path):
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys\nfrom hvdcells.spark.backends.rank_server import rank_executable\n"
            "print(rank_executable([], os.environ), flush=True)\nsys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    executable = driver.stdout.readline().strip()
    (tmp_path / "some_rank_module.py").write_text(textwrap.dedent(MODULE))
    environment = {**os.environ, "HVDCELLS_TEST": "", "PYTHONPATH": str(tmp_path)}
    client = subprocess.Popen(
        [executable, "-m", "some_rank_module", "wait"], env=environment, stdout=subprocess.PIPE, text=True
    )
    client.stdout.readline()
    rank = psutil.Process(int(client.stdout.readline()))
    server = rank.parent()
    driver.kill()
    driver.communicate()
    client.communicate(timeout=60)
    _, alive = psutil.wait_procs([rank, server], timeout=30)
    assert not alive
    assert client.returncode == -signal.SIGKILL
    assert not Path(executable).parent.exists()


def test_without_a_server_the_client_becomes_the_python_that_was_asked_for(tmp_path):
    client = [sys.executable, "-ES", str(rank_server.CLIENT), str(tmp_path / "nobody")]
    command = [*client, "-c", "import json; print('plain')"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "plain\n"


def test_jobs_of_one_process_share_a_server_until_it_is_gone():
    first = rank_executable(["json"], os.environ)
    assert rank_executable(["json"], os.environ) == first
    server = rank_server._servers[("json",)]
    server.close()
    second = rank_executable(["json"], os.environ)
    assert second != first
    rank_server._servers.pop(("json",)).close()
