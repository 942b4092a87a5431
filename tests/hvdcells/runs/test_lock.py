"""One process at a time works on a run."""

import json
import platform
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

import hvdcells
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.runs import lock
from hvdcells.runs.lock import sole_owner
from hvdcells.spark.backends import InProcess
from tests.processes import ROOT
from tests.small_dataset import write_small_dataset

EXPERIMENT = hvdcells.recipes.small_cnn().override({"training.epochs": 1, "model.width": 0.2, "data.batch_size": 8})
HOLDS = """
import sys, time
from hvdcells.runs.lock import sole_owner
with sole_owner(sys.argv[1]):
    print("owns", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8], [8]], "validation": [[8, 8]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lock, "RENEWED_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(lock, "SETTLING_SECONDS", 0.05)


def word_of(location):
    return json.loads(storage.read_text(storage.join(str(location), lock.OWNER_NAME)))


def write_word(location, **changes):
    word = {"token": "other", "host": platform.node(), "pid": 1, "process_began": 0.0, "renewed": time.time()}
    storage.write_text(storage.join(str(location), lock.OWNER_NAME), json.dumps({**word, **changes}))


def test_a_second_one_is_refused_until_the_first_is_dead(tmp_path, quick):
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with pytest.raises(UserError, match=f"process {first.pid} on"), sole_owner(str(tmp_path)):
            pass
        assert word_of(tmp_path)["pid"] == first.pid
        first.kill()  # a zombie until it is waited for: dead all the same
        psutil.wait_procs([psutil.Process(first.pid)], timeout=0)
        while psutil.Process(first.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with sole_owner(str(tmp_path)):
            assert word_of(tmp_path)["pid"] == psutil.Process().pid
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("age_seconds", "is_free"), [(10, False), (lock.DEAD_AFTER_SECONDS + 1, True)])
def test_an_owner_on_another_host_is_dead_when_it_was_silent_for_long(tmp_path, quick, age_seconds, is_free):
    write_word(tmp_path, host="elsewhere", renewed=time.time() - age_seconds)
    if is_free:
        with sole_owner(str(tmp_path)):
            assert word_of(tmp_path)["host"] == platform.node()
        return
    with pytest.raises(UserError, match="elsewhere"), sole_owner(str(tmp_path)):
        pass
    assert word_of(tmp_path)["token"] == "other"


def test_a_word_that_was_not_written_whole_holds_nobody_out(tmp_path, quick):
    (tmp_path / lock.OWNER_NAME).write_text("")
    with sole_owner(str(tmp_path)):
        assert (tmp_path / lock.OWNER_NAME).read_text(), "it is ours now"


def test_an_owner_renews_its_word(tmp_path, quick):
    with sole_owner(str(tmp_path)):
        first, deadline = word_of(tmp_path)["renewed"], time.monotonic() + 60
        while word_of(tmp_path)["renewed"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_an_owner_that_has_lost_its_folder_stops(tmp_path, quick):
    with pytest.raises(UserError, match="elsewhere"), sole_owner(str(tmp_path)):  # noqa: PT012 - the wait is the point
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            write_word(tmp_path, host="elsewhere")  # again, since the owner may just be renewing its own
            time.sleep(0.01)
    assert word_of(tmp_path)["host"] == "elsewhere"


def test_of_many_at_once_one_is_the_owner(tmp_path, quick):
    write_word(tmp_path, pid=2**22 + 1)  # dead
    location, owners, barrier = str(tmp_path), [], threading.Barrier(8)

    def take():
        barrier.wait()
        try:
            with sole_owner(location):
                owners.append(threading.get_ident())
                released.wait(60)
        except UserError:
            refused.release()

    refused, released = threading.Semaphore(0), threading.Event()
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(refused.acquire(timeout=60) for _ in range(7))
    released.set()
    for thread in threads:
        thread.join()
    assert len(owners) == 1


@pytest.mark.aws
def test_in_s3_too(s3, quick):
    fs, _ = storage.filesystem("s3://owned")
    fs.mkdir("owned")
    location = "s3://owned/run"
    with sole_owner(location):
        assert not storage.create_text(storage.join(location, lock.OWNER_NAME), "")
        with pytest.raises(UserError, match="is working on s3://owned/run"), sole_owner(location):
            pass
        assert word_of(location)["pid"] == psutil.Process().pid
    assert not storage.exists(location)


class Asked(InProcess):
    """A back end during whose run another process asks for the same directory."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask

    def run(self, entry, argument, logs):
        self.ask(argument.run)
        return super().run(entry, argument, logs)


@pytest.mark.tensorflow
def test_a_run_that_is_trained_cannot_be_resumed_or_deleted_by_another(dataset, tmp_path):
    refused = []

    def ask(run):
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match="is working on") as caught:
                hvdcells.train(dataset, run, EXPERIMENT, backend=InProcess(), **how)
            refused.append(caught.value)

    run = hvdcells.train(dataset, tmp_path / "run", EXPERIMENT, backend=Asked(ask))
    assert len(refused) == 2
    assert storage.exists(run.finished)
    assert not storage.exists(run.path(lock.OWNER_NAME))


@pytest.mark.parametrize(
    "word",
    [
        '{"token": "a", "host": "elsewhere", "pid": 1, "process_began": 1, "renewed": 9e15}',
        '{"token": "a", "host": "elsewhere", "pid": 1, "process_began": 1, "renewed": "soon"}',
        '{"token": "a", "host": 3, "renewed": 1}',
        "[]",
        '"word"',
        "[" * 100_000,
    ],
)
def test_an_owner_from_the_future_or_of_another_form_locks_nothing(word, tmp_path, monkeypatch):
    monkeypatch.setattr("hvdcells.runs.lock.SETTLING_SECONDS", 0.0)
    (tmp_path / "owner.json").write_text(word)
    with sole_owner(str(tmp_path)):
        assert "elsewhere" not in (tmp_path / "owner.json").read_text()


def test_who_has_lost_a_folder_ends_although_ctrl_c_is_ignored_and_ctrl_c_stays_ignored(tmp_path, quick):
    def work():
        with sole_owner(str(tmp_path)):
            signal.raise_signal(signal.SIGINT)
            write_word(tmp_path)
            threading.Event().wait(60)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a shell starts in the background
    try:
        with pytest.raises(UserError, match="is working on"):
            work()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
