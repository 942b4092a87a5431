"""A job's container on this machine: the entry point of the image on a made-up /opt/ml, filled as the request says.

It is what SageMaker would run, without its machines: to try a request before it costs, in tests and in the notebook.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from launch.sagemaker.container.contract import ROOT_VARIABLE
from launch.sagemaker.container.jobs import JOB_NAME


@dataclass(frozen=True)
class LocalJob:
    """What became of a container."""

    exit_code: int
    output: str
    failure: str | None
    """What SageMaker would show as the reason; None where none was left."""
    metrics: dict[str, list[float]]
    """What the request's metric definitions found, by name, in order."""
    model: Path
    """Folder that SageMaker would pack and upload."""


def run_locally(
    request: Mapping[str, Any],
    root: Path,
    tell: Callable[[str], Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> LocalJob:
    """Run the container of a processing or a training request, whose places are on this disk, and wait for it.

    Args:
        request: of `launch.sagemaker.requests`.
        root: folder that stands for /opt/ml; made if it is not there.
        tell: given each line of output as it comes.
        environment: variables besides the request's.

    Raises:
        UserError: an input channel is not a folder of this machine.
    """
    command, more = made_up(request, root)
    lines = []
    with subprocess.Popen(
        command,
        env={**os.environ, **more, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if tell is not None:
                tell(line.rstrip("\n"))
    return local_job(request, root, process.returncode, "".join(lines))


def made_up(
    request: Mapping[str, Any], root: Path, hosts: Sequence[str] = ("algo-1",), host: str = "algo-1"
) -> tuple[list[str], dict[str, str]]:
    """Write what SageMaker puts below /opt/ml; return the container's command and its variables.

    Raises:
        UserError: an input channel is not a folder of this machine.
    """
    is_training = "TrainingJobName" in request
    config = root / "input" / "config" if is_training else root / "config"
    config.mkdir(parents=True, exist_ok=True)
    _write(config / "resourceconfig.json", {"current_host": host, "hosts": list(hosts)})
    environment = {**request["Environment"], ROOT_VARIABLE: str(root)}
    if not is_training:
        application = request["AppSpecification"]
        words = [*application["ContainerEntrypoint"], *application["ContainerArguments"]]
        return [sys.executable, *words[1:]], environment
    _write(config / "hyperparameters.json", request["HyperParameters"])
    channels = request.get("InputDataConfig", [])
    _write(config / "inputdataconfig.json", {channel["ChannelName"]: {} for channel in channels})
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]["S3Uri"]
        if not storage.is_local(source) or not Path(source).is_dir():
            raise UserError(f"the channel at {source}", "a folder of this machine", "copy it here first")
        (root / "input" / "data").mkdir(parents=True, exist_ok=True)
        link = root / "input" / "data" / channel["ChannelName"]
        link.unlink(missing_ok=True)
        link.symlink_to(Path(source).absolute())
    environment[JOB_NAME] = request["TrainingJobName"]
    return [sys.executable, "-m", "launch.sagemaker.container", "train"], environment


def local_job(request: Mapping[str, Any], root: Path, exit_code: int, output: str) -> LocalJob:
    """Read what a container has left, as SageMaker would."""
    failures = [file for name in ("failure", "message") if (file := root / "output" / name).is_file()]
    definitions = request.get("AlgorithmSpecification", {}).get("MetricDefinitions", [])
    metrics = {each["Name"]: [float(text) for text in re.findall(each["Regex"], output)] for each in definitions}
    failure = failures[0].read_text(encoding="utf-8") if failures else None
    return LocalJob(exit_code, output, failure, metrics, root / "model")


def training_of(tuning: Mapping[str, Any], number: int, values: Mapping[str, str]) -> dict[str, Any]:
    """Return one training of a tuning request as SageMaker makes it, with the values it has chosen."""
    definition = dict(tuning["TrainingJobDefinition"])
    static = definition.pop("StaticHyperParameters")
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    name = f"{tuning['HyperParameterTuningJobName']}-{number:03d}"
    return {
        "TrainingJobName": name,
        "HyperParameters": {**static, **values, "_tuning_objective_metric": objective},
        **definition,
    }


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
