"""What the doctor examines on the driver, before Spark starts."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import requires
from typing import NamedTuple

from packaging.requirements import Requirement

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.driver.train import check_trainable
from hvdcells.errors import UserError, problems_in
from hvdcells.runs.provenance import version_of
from hvdcells.spark.preflight.checks import judge_places
from hvdcells.spark.preflight.findings import Finding
from hvdcells.spark.preflight.probe import UNASKED, access, reading, writing
from hvdcells.spark.preflight.readiness import driver_facts, question, token_in

SPARK_SERIES = "3.5."
"""Of Spark; a cluster's own goes before what pyproject.toml pins."""


def judge_requirements() -> Finding:
    """Judge whether this environment holds the versions that hvdcells asks for."""
    wrong = []
    for line in requires("hvdcells") or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = version_of(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is missing")
        elif not (_is_a_clusters_spark(requirement.name, found) or requirement.specifier.contains(found, True)):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
    if not wrong:
        return Finding("packages", "driver", "ok", "as pyproject.toml asks")
    return Finding("packages", "driver", "failed", ", ".join(wrong), "what pyproject.toml asks", "make setup")


def _is_a_clusters_spark(name: str, found: str) -> bool:
    """Whether it is a pyspark that a cluster brings: of its own patch and maker, such as 3.5.6-amzn-2."""
    return name == "pyspark" and found.startswith(SPARK_SERIES)


def failed(check: str, error: UserError) -> list[Finding]:
    """Return a user's errors as findings of the driver."""
    return [Finding(check, "driver", "failed", each.given, each.expected, each.remedy) for each in problems_in(error)]


def open_dataset(location: str) -> tuple[Dataset | None, list[Finding]]:
    """Open a dataset as training does, and judge whether its files are readable from here."""
    try:
        dataset = Dataset.open(location)
    except UserError as error:
        return None, failed("dataset", error)
    except Exception as error:  # what an object store raises for missing rights
        found = f"{location}: {type(error).__name__}: {error}"[:400]
        remedy = "correct its name; in S3, get s3:ListBucket and s3:GetObject there"
        return None, [Finding("dataset", "driver", "failed", found, "a dataset that can be read", remedy)]
    asked = question(dataset, None, None)
    facts = {**driver_facts(), "run": UNASKED}
    return dataset, judge_places(
        [facts | {"host": "driver", "readable": {p: access(reading(p)) for p in asked["readable"]}}]
    )


def judge_workers(dataset: Dataset, num_workers: int) -> list[Finding]:
    """Judge whether a dataset has enough row groups, and both classes, for so many workers."""
    try:
        check_trainable(dataset, num_workers)
    except UserError as error:
        return failed("row groups", error)
    counts = {split: len(dataset.rows_per_row_group(split)) for split in ("train", "validation")}
    found = ", ".join(f"{count} in {split}" for split, count in counts.items())
    return [Finding("row groups", "driver", "ok", f"{found}, for {num_workers} workers")]


class SeenFolder(NamedTuple):
    """A folder with a file that the driver has put there, for the executors to find."""

    location: str
    token: str


@contextlib.contextmanager
def run_directory(location: str) -> Iterator[tuple[SeenFolder | None, list[Finding]]]:
    """Put a file into the run directory for the executors to find; yield both, and whether that was possible.

    What is made for it is removed again.
    """
    with contextlib.ExitStack() as stack:
        try:
            if not storage.exists(location):
                stack.callback(storage.remove, location)
            token = stack.enter_context(token_in(location))
        except Exception as error:  # what a disk or an object store raises for missing rights
            found = f"write: {type(error).__name__}: {error}"[:400]
            remedy = "name another place, or get the right to write there; in S3: s3:PutObject, s3:DeleteObject"
            stack.pop_all()
            yield None, [Finding("run directory", "driver", "failed", found, "a place to write to", remedy)]
            return
        facts = {**driver_facts(), "host": "driver", "readable": {}, "run": access(writing(location, token))}
        yield SeenFolder(location, token), judge_places([facts])
