"""The `hvdcells` command as a user meets it: help, and what it says to nonsense. No JVM is started."""

import os
import re
import signal
import threading

import pytest

from hvdcells.runs.directory import RunDirectory, write_json
from launch.cli import app, main
from launch.terminal.arguments import parse_settings
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8]], "validation": [[8, 8]], "test": [[4]]}
COMMANDS = [each.callback.__name__.replace("_", "-") for each in app.registered_commands if each.callback]


@pytest.fixture
def hvdcells(monkeypatch, capsys):
    """Run the command; return its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["hvdcells", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", GROUPS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(hvdcells, command):
    code, out, _ = hvdcells(command, "--help")
    assert code == 0
    assert len(out.split()) > 30


def test_the_promised_commands_are_there(hvdcells):
    code, out, _ = hvdcells("--help")
    assert code == 0
    for command in (
        "synthesize",
        "etl",
        "check",
        "show",
        "find-rate",
        "train",
        "evaluate",
        "demo",
        "report",
        "cross-validate",
        "sweep",
    ):
        assert command in COMMANDS
        assert command in out


CASES = (
    "no dataset",
    "folder without manifest",
    "finished run",
    "unfinished run",
    "other files",
    "overwriting other files",
    "resuming other files",
    "resuming and overwriting",
    "unknown recipe",
    "unknown field",
    "wrong value",
    "no equals sign",
    "more workers than slots",
    "more workers than row groups",
    "contact sheet of no recipe",
    "contact sheet that is no png",
    "settings of no contact sheet",
    "unknown backbone",
    "weights of no run",
    "evaluating no run",
    "evaluating an unfinished run",
)


def nonsense(tmp_path):
    """Arguments of the command and words of the one message, by case."""
    data, run = tmp_path / "dataset", tmp_path / "run"
    finished, broken, other = tmp_path / "finished", tmp_path / "broken", tmp_path / "other"
    for place in (finished, broken):
        write_json(RunDirectory.at(place).run, {})
    write_json(RunDirectory.at(finished).finished, {})
    other.mkdir()
    (other / "photo.png").write_text("")
    return {
        "no dataset": (["train", tmp_path / "nothing", run], "nothing is there"),
        "folder without manifest": (["train", other, run], r"without manifest\.json"),
        "finished run": (["train", data, finished], "finished run"),
        "unfinished run": (["train", data, broken], "did not finish.*--resume"),
        "other files": (["train", data, other], "other files"),
        "resuming other files": (["train", data, other, "--resume"], "other files"),
        "resuming and overwriting": (["train", data, broken, "--resume", "--overwrite"], "resume and overwrite"),
        "overwriting other files": (["train", data, other, "--overwrite"], "other files"),
        "unknown recipe": (["train", data, run, "--recipe", "resnet"], "no recipe 'resnet'.*small_cnn"),
        "unknown field": (["train", data, run, "--set", "optimizer.rate=1"], "no field 'optimizer.rate'"),
        "wrong value": (["train", data, run, "--set", "data.batch_size=0"], "data.batch_size='0'"),
        "no equals sign": (["train", data, run, "--set", "training.epochs"], "FIELD=VALUE"),
        "more workers than slots": (["train", data, run, "--master", "local[1]"], "2 workers.*1 tasks at once"),
        "more workers than row groups": (["train", data, run, "--workers", "3"], "3 workers.*2 row groups"),
        "contact sheet of no recipe": (["show", data, "--augmentation", "all"], "no recipe 'all'"),
        "contact sheet that is no png": (
            ["show", data, "--augmentation", "small_cnn", "--out", "a.gif"],
            "--out a.gif",
        ),
        "settings of no contact sheet": (["show", data, "--set", "seed=1"], "--set without --augmentation"),
        "unknown backbone": (
            ["train", data, run, "--set", "model.backbone=resnet51"],
            "no backbone 'resnet51'.*resnet50",
        ),
        "weights of no run": (["train", data, run, "--set", f"model.weights={other}"], "no finished run"),
        "evaluating no run": (["evaluate", other], "no run"),
        "evaluating an unfinished run": (["evaluate", broken], "did not finish"),
    }


@pytest.mark.parametrize("case", CASES)
def test_nonsense_gets_one_message_and_exit_code_2(hvdcells, dataset, tmp_path, case):
    arguments, words = nonsense(tmp_path)[case]
    before = sorted(path for path in tmp_path.rglob("*"))
    code, _, err = hvdcells(*arguments)
    assert code == 2
    assert re.search(words, err.replace("\n", " "))
    assert "expected:" in err
    assert "what to do:" in err
    assert "Traceback" not in err
    assert sorted(path for path in tmp_path.rglob("*")) == before, "something was written"


@pytest.mark.tensorflow
def test_a_contact_sheet_is_drawn(hvdcells, dataset, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, _ = hvdcells("show", dataset.location, "--augmentation", "small_cnn", "--out", sheet)
    assert code == 0
    assert "flips, quarter_turns, brightness 0.2" in out
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_one_class_only_is_refused(hvdcells, tmp_path):
    dataset = write_small_dataset(tmp_path / "dataset", GROUPS)
    split = dataset.manifest.splits["train"]
    only = split.model_copy(update={"images_per_class": {"all": split.images}})
    manifest = dataset.manifest.model_copy(update={"splits": {**dataset.manifest.splits, "train": only}})
    (tmp_path / "dataset/manifest.json").write_text(manifest.to_json())
    code, _, err = hvdcells("train", dataset.location, tmp_path / "run")
    assert code == 2
    assert "no image of class hem" in err


def test_fields_can_be_listed(hvdcells):
    code, out, _ = hvdcells("train", "anything", "anywhere", "--list-fields", "--epochs", "3")
    assert code == 0
    assert '"epochs": 3' in out


def test_settings_are_parsed_and_checked_together():
    assert parse_settings(["a.b=1", "c = x=y"]) == {"a.b": "1", "c": "x=y"}
    with pytest.raises(Exception, match="second time") as caught:
        parse_settings(["a=1", "nonsense", "a=2"])
    assert "nonsense" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_ends_with_the_code_of_its_signal_and_without_a_trace(hvdcells, monkeypatch, number):
    cleared = []

    def stopped(*_, **__):
        try:
            os.kill(os.getpid(), number)
            threading.Event().wait(60)
        finally:
            os.kill(os.getpid(), number)  # once more, while it clears away: not heeded
            cleared.append(number)

    before = signal.getsignal(number)
    monkeypatch.setattr("hvdcells.data.dataset.Dataset.open", stopped)
    code, out, err = hvdcells("check", "nowhere")
    assert cleared == [number]
    assert code == 128 + number
    assert "Traceback" not in out + err
    assert signal.getsignal(number) is before
