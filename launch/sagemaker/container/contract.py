"""What SageMaker tells a container, and where a container leaves what it made.

The files below /opt/ml are SageMaker's own; the `SM_` variables are those of its toolkit for training, which an image
of ours does not hold. The files win; a container of an image with the toolkit that has none of them gives the
variables. Commands started here have both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hvdcells.errors import UserError

ROOT_VARIABLE = "HVDCELLS_ML_ROOT"
"""Another folder than /opt/ml, to try a container's work anywhere."""
ROOT = "/opt/ml"
FAILURE_CHARACTERS = 1024
"""Of a failure SageMaker keeps as many, from its beginning."""


@dataclass(frozen=True)
class Container:
    """One container of a job: whose host it is and what it was given."""

    root: Path
    hosts: tuple[str, ...] = ("localhost",)
    """All hosts of the job, in an order that all of them agree on."""
    current_host: str = "localhost"
    interface: str | None = None
    """Network interface that the hosts see each other on."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, Path] = field(default_factory=dict)
    """Folders of the input channels by name."""

    @classmethod
    def read(cls, root: Path, environ: Mapping[str, str]) -> "Container":
        """Read what SageMaker has put below a folder.

        Raises:
            UserError: a file that is not the JSON it should be.
        """
        inputs = root / "input" / "config"
        resources = _read(inputs / "resourceconfig.json") or _read(root / "config" / "resourceconfig.json")
        hosts = resources.get("hosts") or json.loads(environ.get("SM_HOSTS", "[]")) or ["localhost"]
        hosts = tuple(sorted(hosts, key=lambda name: (len(name), name)))  # algo-2 before algo-10
        channels = _read(inputs / "inputdataconfig.json") or json.loads(environ.get("SM_CHANNELS", "[]"))
        folders = {name: environ.get(f"SM_CHANNEL_{name.upper()}", root / "input" / "data" / name) for name in channels}
        return cls(
            root,
            hosts,
            resources.get("current_host") or environ.get("SM_CURRENT_HOST") or hosts[0],
            resources.get("network_interface_name") or environ.get("SM_NETWORK_INTERFACE_NAME"),
            _read(inputs / "hyperparameters.json") or json.loads(environ.get("SM_HPS", "{}")),
            {name: Path(folder) for name, folder in folders.items()},
        )

    @property
    def is_first(self) -> bool:
        """Whether this host drives the job; the others lend it their cores and GPUs."""
        return self.current_host == self.hosts[0]

    @property
    def model(self) -> Path:
        """Folder whose content SageMaker packs and uploads when the job has ended."""
        return self.root / "model"

    def environment(self, num_gpus: int) -> dict[str, str]:
        """Return the `SM_` variables, and the one that holds NCCL to the hosts' own network."""
        told = {
            "SM_HOSTS": json.dumps(self.hosts),
            "SM_CURRENT_HOST": self.current_host,
            "SM_NUM_GPUS": str(num_gpus),
            "SM_HPS": json.dumps(dict(self.hyperparameters)),
            "SM_CHANNELS": json.dumps(list(self.channels)),
            "SM_MODEL_DIR": str(self.model),
            "SM_OUTPUT_DIR": str(self.root / "output"),
            "SM_OUTPUT_DATA_DIR": str(self.root / "output" / "data"),
        }
        told |= {f"SM_CHANNEL_{name.upper()}": str(folder) for name, folder in self.channels.items()}
        if self.interface:
            told |= {"SM_NETWORK_INTERFACE_NAME": self.interface, "NCCL_SOCKET_IFNAME": self.interface}
        return told

    def write_failure(self, text: str, is_training: bool) -> None:
        """Leave why the job failed where SageMaker looks for it: it shows it with the job's status."""
        file = self.root / "output" / ("failure" if is_training else "message")
        file.parent.mkdir(parents=True, exist_ok=True)
        # 1 KB of UTF-8: a cut inside a letter would make it unreadable.
        cut = text.encode()[:FAILURE_CHARACTERS].decode(errors="ignore")
        file.write_text(cut, encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found
    except ValueError as error:
        raise UserError(f"{file}: {error}", "a JSON object, as SageMaker writes it", "start the job again") from error
