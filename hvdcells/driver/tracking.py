"""Runs told to MLflow, from a thread of the driver that follows the run directory: training never waits for it."""

import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, flattened
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.tracking import curves_of, parameters_of
from hvdcells.secrets import has_secrets, without_secrets

PREFIX = "mlflow:"
EXPERIMENT = "hvdcells"
PARENT = "mlflow.parentRunId"
POLL_SECONDS = 1.0
END_SECONDS = 60.0
"""How long the end of a run waits for what is still to be sent."""
_LONGEST_VALUE = 500
_MOST_AT_ONCE = 100
"""Parameters that MLflow takes in one call."""
_HTTP = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""What does not answer is asked again by `Following`, not by MLflow, which would take minutes."""
ARTIFACTS = ("experiment.json", "run.json", "finished.json", "report.html", "model.keras", "evaluation/validation.json")


def check_track(track: str | None) -> None:
    """Refuse a place to track runs at that cannot be used, before anything is written.

    Raises:
        UserError: it is not `mlflow:URI`, its URI holds a password, or MLflow is not installed.
    """
    if track is None:
        return
    if not track.startswith(PREFIX) or not track.removeprefix(PREFIX):
        raise UserError(
            f"--track {without_secrets(track)}", "mlflow:URI, such as mlflow:http://host:5000", "correct --track"
        )
    if has_secrets(track):
        raise UserError(
            f"--track {without_secrets(track)}, with a password in it",
            "an address without one: it is kept in the run directory",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        )
    for name, value in _HTTP.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401 - here and not in the thread, whose import a fork of the driver would wait for
    except ImportError as error:
        raise UserError(
            "--track mlflow:… needs MLflow, which is not installed",
            "hvdcells with the extra `mlflow`",
            "pip install 'hvdcells[mlflow]'",
        ) from error


class MLflow:
    """A run as MLflow shows it: parameters, metrics by epoch, tags, artifacts. Every call asks the server."""

    def __init__(self, uri: str, run: RunDirectory, parent: str | None) -> None:
        from mlflow import MlflowClient

        self._client, self._uri, self._run = MlflowClient(uri), uri, run
        self._card = run.read_json(run.run)
        self._id = _run_of(self._client, uri, run.path("tracking.json"), run.location, parent)

    def begin(self, experiment: Experiment) -> None:
        """Send parameters and tags."""
        from mlflow.entities import Param, RunTag

        card = flattened({name: value for name, value in self._card.items() if name not in ("dataset", "resumed")})
        dataset = {f"dataset.{name}": self._card["dataset"][name] for name in ("location", "digest", "synthetic")}
        tags = [RunTag(name, _text(value)) for name, value in {**card, **dataset, "recipe": experiment.name}.items()]
        params = [Param(name, _text(value)) for name, value in parameters_of(experiment).items()]
        for first in range(0, max(len(params), len(tags)), _MOST_AT_ONCE):
            part = slice(first, first + _MOST_AT_ONCE)
            self._client.log_batch(self._id, params=params[part], tags=tags[part])

    def epoch_done(self, line: Mapping[str, Any]) -> None:
        """Send the curves' points; sent again, they are the same points."""
        from mlflow.entities import Metric

        curves, ended = curves_of(line, self._card["dataset"]["class_names"]), round(1000 * line["ended"])
        points = [Metric(_key(name), value, ended, line["epoch"]) for name, value in curves.items()]
        self._client.log_batch(self._id, metrics=points)

    def end(self, is_whole: bool) -> None:
        """Send report, model and what else a run has."""
        for name in ARTIFACTS:
            if storage.exists(location := self._run.path(*name.split("/"))):
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(folder) / Path(name).name
                    copy.write_bytes(storage.read_bytes(location))
                    self._client.log_artifact(self._id, str(copy), str(Path(name).parent).replace(".", "") or None)
        self._client.set_terminated(self._id, "FINISHED" if is_whole else "FAILED")


def _run_of(client: Any, uri: str, noted: str, name: str, parent: str | None) -> str:
    """Return the id of a run at the server: the one that was noted, where it goes on, or a new one."""
    if storage.exists(noted):
        kept: dict[str, str] = json.loads(storage.read_text(noted))
        if kept.get("uri") == uri:
            return kept["run_id"]
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    tags = {PARENT: parent} if parent else {}
    short = without_secrets(name.rstrip("/").rpartition("/")[2])
    made: str = client.create_run(experiment_id, tags=tags, run_name=short).info.run_id
    write_json(noted, {"uri": uri, "run_id": made})
    return made


class Following:
    """A thread that tells a tracker what a run directory holds; what fails is told once, and tried again.

    Args:
        make: makes the tracker; may ask a server, too.
        run: the directory of a run that has begun.
        where: the server, for the message.
        say: told when the server does not answer.
    """

    def __init__(self, make: Callable[[], MLflow], run: RunDirectory, where: str, say: Callable[[str], None]) -> None:
        self._make, self._run, self._where, self._say = make, run, where, say
        self._tracker: MLflow | None = None
        self._sent, self._has_told = 0, False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="tracking")

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self, wait_seconds: float = END_SECONDS) -> None:
        """Send what is left, and wait no longer than that."""
        self._over.set()
        self._thread.join(wait_seconds)
        if self._thread.is_alive():
            self._say(f"{self._where} has not taken all of the run in {wait_seconds:g} s: the rest is left out.")

    def _follow(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self._tried(self._send)
        self._tried(self._send_all)

    def _tried(self, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception as error:  # whatever a server or a proxy answers: it must not cost the training
            if not self._has_told:
                self._has_told = True
                why = without_secrets(str(error).splitlines()[0] if str(error) else type(error).__name__)[:200]
                self._say(
                    f"{self._where} cannot be told how the run goes on; the training does, and it is tried again: {why}"
                )

    def _send(self) -> None:
        if self._tracker is None:
            tracker = self._make()
            tracker.begin(Experiment.from_json(storage.read_text(self._run.experiment)))
            self._tracker = tracker
        if storage.exists(self._run.metrics):
            for line in self._run.read_metrics()[self._sent :]:
                self._tracker.epoch_done(line)
                self._sent += 1

    def _send_all(self) -> None:
        self._send()
        assert self._tracker is not None
        self._tracker.end(is_whole=storage.exists(self._run.finished))


@contextmanager
def tracked(
    track: str | None, run: RunDirectory, parent: str | None = None, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Tell a place how the run goes on that the block trains, and at its end what it left."""
    if track is None:
        yield
        return
    uri = track.removeprefix(PREFIX)
    following = Following(lambda: MLflow(uri, run, parent), run, f"MLflow at {without_secrets(uri)}", say)
    following.start()
    try:
        yield
    finally:
        following.finish()


@contextmanager
def tracked_parent(track: str | None, folder: str, say: Callable[[str], None] = print) -> Iterator[str | None]:
    """Hold a run at the server below which those of a folder are shown; yield its id, None where there is none."""
    client, parent = None, None
    if track is not None:
        from mlflow import MlflowClient

        uri = track.removeprefix(PREFIX)
        try:
            client = MlflowClient(uri)
            parent = _run_of(client, uri, storage.join(folder, "tracking.json"), folder, None)
        except Exception as error:
            say(f"MLflow at {without_secrets(uri)} does not answer: {without_secrets(str(error))[:200]}")
    yield parent
    if client is not None and parent is not None:
        with suppress(Exception):  # its children have told what there is to tell
            client.set_terminated(parent)


def _text(value: Any) -> str:
    return without_secrets(str(value))[:_LONGEST_VALUE]


def _key(name: str) -> str:
    """Return a name as MLflow takes it: letters, digits, and a few signs."""
    return re.sub(r"[^\w\-./ :]", "_", name)
