"""Python environments of the methods that do not fit the project's own: built once, by uv, from pinned requirements."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
DEFAULT_FOLDER = Path.home() / ".cache" / "hvdcells" / "methods"
_FINISHED = ".finished"


class EnvironmentNotBuiltError(Exception):
    """An environment cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Environment:
    """One environment: `requirements/<name>.txt`, and `<name>.toml` where uv has to be told how to build a package."""

    name: str
    python: str
    """Version of Python, such as `3.8`."""

    @property
    def requirements(self) -> Path:
        """The pinned requirements."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def uv_options(self) -> Path:
        """Options of uv for the build; most environments have none."""
        return REQUIREMENTS / f"{self.name}.toml"

    def folder(self, environments: Path) -> Path:
        """Where it is kept; other requirements make another environment."""
        files = [file for file in (self.requirements, self.uv_options) if file.exists()]
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
        return environments / f"{self.name}-{digest}"


def interpreter_of(environment: Environment | None, environments: Path, log: Path) -> Path:
    """Return the interpreter of an environment, building it first if need be; None stands for the project's own.

    Raises:
        EnvironmentNotBuiltError: uv, its Python or a package is not to be had; uv's words are in `log`.
    """
    if environment is None:
        return Path(sys.executable)
    folder = environment.folder(environments)
    python = folder / "bin" / "python"
    if not (folder / _FINISHED).exists():
        _build(environment, folder, log)
        (folder / _FINISHED).touch()
    return python


def _build(environment: Environment, folder: Path, log: Path) -> None:
    uv = _uv()
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)  # what a build that was interrupted has left
    options = ["--config-file", environment.uv_options] if environment.uv_options.exists() else ["--no-config"]
    commands = (
        [uv, "venv", *options, "--python", _python(environment.python), folder],
        [uv, "pip", "install", *options, "--compile-bytecode", "--python", folder, "-r", environment.requirements],
    )
    with log.open("w") as output:
        for command in commands:
            done = subprocess.run([*map(str, command)], stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
                first_error = next((line for line in said if line.lower().startswith(("error", "×"))), "no word of why")
                raise EnvironmentNotBuiltError(f"uv could not build the environment {environment.name}: {first_error}")


def _uv() -> Path:
    """Find uv on the PATH, or where `make` installs it, beside the project's environment."""
    beside = Path(sys.prefix).parent / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (beside if beside.exists() else None)
    if found is None:
        raise EnvironmentNotBuiltError("uv is not on the PATH, and the method needs an environment of its own")
    return Path(found)


def _python(version: str) -> str:
    """Return an interpreter of that version that pyenv keeps, which uv does not look for, or leave the search to uv."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(kept.glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else version
