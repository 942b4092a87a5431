"""`hvdcells serve` as a process: who may use it, what it holds, and how it ends."""

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hvdcells import UserError
from launch.cli import app
from launch.clusters.wheel import checkout, server_distributions, server_requirements
from tests.hvdcells.serving.conftest import png, serving

TOKEN = "a-token-of-some-length"
PNG = {"Content-Type": "image/png"}


def test_others_are_let_in_only_with_a_token_or_when_it_is_said(export):
    done = CliRunner().invoke(app, ["serve", str(export), "--host", "0.0.0.0"])
    assert isinstance(done.exception, UserError)
    assert "--without-token" in str(done.exception)
    short = CliRunner().invoke(app, ["serve", str(export), "--token", "short"])
    assert isinstance(short.exception, UserError)


def test_a_token_is_asked_for_and_sigterm_lets_what_was_asked_be_answered(export):
    content = png((200, 30, 30))
    with serving(export, env={"HVDCELLS_SERVE_TOKEN": TOKEN}) as server:
        assert server.ask("/ping")[0] == server.ask("/")[0] == 200
        for given in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/model", "/metrics", "/openapi.json"):
                assert server.ask(path, headers=given)[0] == 401
            assert server.ask(body=content, headers={**PNG, **given})[0] == 401
        assert server.ask(body=content, headers={**PNG, "Authorization": f"Bearer {TOKEN}"})[0] == 200
        with socket.create_connection(("127.0.0.1", server.port), 60) as asked:
            head = (
                f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                f"Content-Length: {len(content)}\r\nExpect: 100-continue\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            )
            asked.sendall(head.encode())
            assert asked.recv(100).startswith(b"HTTP/1.1 100"), "the server waits for the body"
            server.process.send_signal(signal.SIGTERM)
            asked.sendall(content)
            assert asked.recv(12) == b"HTTP/1.1 200"
        assert server.process.wait(60) == 0


def test_who_comes_to_a_full_queue_is_told_when_to_come_again(export):
    with serving(export, "--waiting", "1") as server:
        body = json.dumps({"images": ["AAAA", "AAAA"]})
        status, headers, _ = server.ask(body=body, headers={"Content-Type": "application/json"})
        assert (status, headers["Retry-After"]) == (503, "1")
        assert server.lives()


def test_the_server_runs_where_neither_tensorflow_nor_spark_is_installed(export, tmp_path):
    """In a folder that holds what `server_requirements` names, and nothing else."""
    site = tmp_path / "site"
    for each in server_distributions():
        for file in each.files:
            if ".." not in file.parts and file.suffix != ".pyc":
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(str(each.locate_file(file)), target)
    for name in ("hvdcells", "etl", "launch"):
        (site / name).symlink_to(checkout() / name)
    told = tmp_path / "modules.json"
    (site / "sitecustomize.py").write_text(
        "import atexit, json, sys\n"
        f"atexit.register(lambda: open({str(told)!r}, 'w').write(json.dumps(sorted(sys.modules))))\n"
    )
    env = {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1", "VIRTUAL_ENV": ""}
    with serving(export, python=(os.path.realpath(sys.executable),), env=env) as server:
        assert server.lives()
        assert server.memory_bytes() < 500 * 2**20
    modules = {name.partition(".")[0] for name in json.loads(told.read_text())}
    assert {"onnxruntime", "fastapi"} <= modules
    assert not modules & {
        "tensorflow",
        "tf_keras",
        "keras",
        "horovod",
        "pyspark",
        "petastorm",
        "pyarrow",
        "pandas",
        "scipy",
    }


def _link_or_copy(file: str, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # on another disk
        shutil.copyfile(file, target)


def test_the_servers_environment_is_pinned():
    pins = dict(line.split("==") for line in server_requirements().splitlines())
    assert {"onnxruntime", "fastapi", "uvicorn", "opencv-python-headless"} <= set(pins)
    assert not set(pins) & {"tensorflow", "pyspark", "horovod", "pyarrow", "pandas", "hvdcells"}


def test_where_the_extra_is_not_installed_it_says_so(export, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("hvdcells.serving.app")]:
        monkeypatch.delitem(sys.modules, name)
    done = CliRunner().invoke(app, ["serve", str(export)])
    with pytest.raises(UserError, match=r"pip install 'hvdcells\[serve\]'"):
        raise done.exception
