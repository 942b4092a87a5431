"""What a run was made of and where: dataset, versions, commit, machine."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipimport import zipimporter

from hvdcells.data.dataset import Dataset
from hvdcells.runs.earlier_run import dataset_digest

VERSIONS_NOTED = ("horovod", "tensorflow", "tf-keras", "pyspark", "petastorm", "pyarrow", "numpy")


def describe(dataset: Dataset, backend: str, num_workers: int) -> dict[str, Any]:
    """Return what `run.json` holds: what the run was made of and where."""
    return {
        "dataset": {
            "location": dataset.location,
            "digest": dataset_digest(dataset),
            "listing_digest": dataset.manifest.listing_digest,
            "synthetic": dataset.manifest.synthetic,
            "validation_fold": dataset.validation_fold,
            "class_names": list(dataset.manifest.class_names),
            "positive_classes": list(dataset.manifest.positive_classes),
            "image_size": dataset.manifest.image_size,
            "subjects_known": dataset.manifest.subjects_known,
            "images": {name: split.images for name, split in dataset.manifest.splits.items()},
        },
        "backend": backend,
        "workers": num_workers,
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Return versions, commit, machine and time of this process."""
    return {
        "hvdcells": version("hvdcells"),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in VERSIONS_NOTED},
        "driver": {"host": platform.node(), "platform": platform.platform(), "cores": os.cpu_count()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def commit() -> str | None:
    """Return the commit of the checkout this code runs from; None for an installed package, even inside a checkout."""
    root = Path(__file__).resolve().parents[2]
    command: Sequence[str] = ("git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return None
    top, _, head = done.stdout.strip().partition("\n")
    return head if done.returncode == 0 and Path(top) == root else None


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is missing.

    Of pyspark it is that of what an import finds: spark-submit and clusters put their own before an installed one.
    """
    if package == "pyspark":
        return _version_of_spark()
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version_of_spark() -> str | None:
    """Read the version from where pyspark would be imported from, a folder or a zip file, without importing it."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader | zipimporter):
        return None
    text = spec.loader.get_data(str(Path(spec.origin).with_name("version.py"))).decode()
    found = re.search(r"""__version__[^=]*=\s*["']([^"']+)""", text)
    return found[1] if found else None
