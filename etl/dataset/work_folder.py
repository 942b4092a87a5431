"""What is at a dataset's location before a run, and what a run leaves there to be resumed from."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.dataset.petastorm import COMMON_METADATA
from etl.options import EtlOptions
from etl.shards.findings import FINDINGS_SUFFIX, SHARDS_FOLDER, findings_name
from hvdcells import storage
from hvdcells.data.manifest import FILE_PATTERN, IMAGES_FOLDER, MANIFEST_NAME, Manifest, ParquetFile
from hvdcells.errors import UserError
from hvdcells.runs.lock import OWNER_NAME, sole_owner

WORK_FOLDER = "_work"
REJECTS_FOLDER = "rejects"
OVERVIEW_NAME = "overview.png"

_RUN_NAME = "run.json"
_PREVIOUS_NAME = "previous-manifest.json"
LIMITS = frozenset(("max_rejects",))
"""Options that are no part of what a dataset is."""
_DEFAULTS = EtlOptions().model_dump(mode="json")
"""What an option was in a run of a version that did not have it yet."""
_OWN_IMAGES = re.compile(rf"{FILE_PATTERN[1:-1]}|{IMAGES_FOLDER}/split=\w+/\.[^/]+")
"""What this stage writes below the images folder, whole or aside: nothing else is ever deleted there."""
OURS = frozenset((WORK_FOLDER, SHARDS_FOLDER, IMAGES_FOLDER, REJECTS_FOLDER, MANIFEST_NAME, OVERVIEW_NAME, OWNER_NAME))


@dataclass(frozen=True)
class LocationState:
    """The state of a dataset's location: nothing, an unfinished run, or a finished dataset."""

    manifest: Manifest | None = None
    """Of the finished dataset."""
    previous: Manifest | None = None
    """Of the dataset that an interrupted update started from."""
    unfinished: dict[str, Any] | None = None
    """Source and options of the run that was not finished."""


def look(dataset: str) -> LocationState:
    """Look at a dataset's location.

    Raises:
        UserError: something is there that is not of this stage.
    """
    if storage.is_file(dataset):
        raise UserError(f"{dataset} is a file", "a new or empty folder for the dataset", "name another location")
    names = [name for name in storage.names_in(dataset) if name != OWNER_NAME]
    _refuse_links(dataset)
    if MANIFEST_NAME in names:
        location = storage.join(dataset, MANIFEST_NAME)
        return LocationState(manifest=Manifest.from_json(storage.read_text(location), location))
    run = storage.join(dataset, WORK_FOLDER, _RUN_NAME)
    if WORK_FOLDER in names and storage.exists(run):
        previous = storage.join(dataset, WORK_FOLDER, _PREVIOUS_NAME)
        if storage.exists(previous):
            earlier = Manifest.from_json(storage.read_text(previous), previous)
            return LocationState(previous=earlier, unfinished=_read_run(run))
        return LocationState(unfinished=_read_run(run))
    if foreign := names:
        raise UserError(
            f"{dataset} holds {', '.join(foreign[:5])}{' and more' if len(foreign) > 5 else ''}",
            "a new or empty folder, or a dataset of `hvdcells etl`, finished or not",
            "name another location; nothing was touched",
        )
    return LocationState()


def _refuse_links(dataset: str) -> None:
    """Refuse links where this stage's own folders should be: what lies behind one would be written over and deleted.

    Raises:
        UserError: there is one.
    """
    local = storage.local_path(dataset)
    if local is None:
        return
    own = [Path(local, name) for name in sorted(OURS)]
    own += [entry for folder in own if folder.is_dir() and not folder.is_symlink() for entry in folder.iterdir()]
    links = [str(path) for path in own if path.is_symlink()]
    if links:
        raise UserError(
            f"{links[0]} is a link",
            "folders and files that `hvdcells etl` has made in the dataset itself: it writes and deletes there",
            "name another location for the dataset, or remove the link; nothing was touched",
        )


def _read_run(location: str) -> dict[str, Any]:
    try:
        run = json.loads(storage.read_text(location))
        return {"source": str(run["source"]), "options": dict(run["options"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{location} is not what an unfinished run leaves ({type(error).__name__}: {error})",
            "source and options of that run",
            "remove this dataset first, or name another location",
        ) from None


def refuse_other_run(dataset: str, unfinished: dict[str, Any], source: str, options: EtlOptions) -> None:
    """Refuse to go on with a run that was begun with another source or other options; limits may change.

    Raises:
        UserError: they differ.
    """
    begun, asked = _DEFAULTS | unfinished["options"], options.model_dump(mode="json")
    names = sorted(name for name in asked.keys() | begun.keys() if name not in LIMITS)
    other = [
        f"{name}={begun.get(name)!r} (asked for: {asked.get(name)!r})"
        for name in names
        if asked.get(name) != begun.get(name)
    ]
    if unfinished["source"] != source:
        other.insert(0, f"source={unfinished['source']!r} (asked for: {source!r})")
    if other:
        raise UserError(
            f"{dataset} holds a run that was not finished, begun with {', '.join(other)}",
            "the same source and options, to go on with it",
            "give them again, name another location, or remove this dataset first",
        )


@contextmanager
def owned(dataset: str, found: LocationState) -> Iterator[None]:
    """Own a dataset's location in the block, as it was found when the run was planned.

    Raises:
        UserError: another process works on it, or has worked on it in the meantime.
    """
    with sole_owner(dataset):
        if look(dataset) != found:
            raise UserError(
                f"{dataset} has changed since this command looked at it: another has written there in between",
                "one process at a time",
                "give the command again: it looks anew",
            )
        yield


def begin(dataset: str, source: str, options: EtlOptions, replaced: Manifest | None) -> None:
    """Mark the location as an unfinished run; a dataset that is being updated is none until it is whole again."""
    run = {"source": source, "options": options.model_dump(mode="json")}
    if replaced is not None:
        storage.write_text(storage.join(dataset, WORK_FOLDER, _PREVIOUS_NAME), replaced.to_json())
    storage.write_text(storage.join(dataset, WORK_FOLDER, _RUN_NAME), json.dumps(run, indent=1) + "\n")
    storage.remove(storage.join(dataset, MANIFEST_NAME))


@contextmanager
def standing_on_refusal(dataset: str, finished: Manifest | None) -> Iterator[None]:
    """Let a finished dataset stand as it was when its update is refused for the user's input."""
    try:
        yield
    except UserError:
        if finished is not None:
            remove_other_images(dataset, [file for split in finished.splits.values() for file in split.files])
            finish(dataset, finished)
        raise


def is_stale(
    manifest: Manifest, listing_digest: str, options: EtlOptions, source: str, dataset: str, update: bool
) -> bool:
    """Whether a finished dataset has to be brought in line with its source.

    Raises:
        UserError: it was made with other options or from another source, or it is stale and no update was asked for.
    """
    wanted = options.model_dump(mode="json")
    made = _DEFAULTS | manifest.options
    other = {k: value for k, value in made.items() if k not in LIMITS and wanted.get(k) != value}
    if other or manifest.source != source:
        differs = [f"{name}={value!r} (asked for: {wanted.get(name)!r})" for name, value in sorted(other.items())]
        if manifest.source != source:
            differs.insert(0, f"source={manifest.source!r} (asked for: {source!r})")
        raise UserError(
            f"{dataset} is a finished dataset made with {', '.join(differs)}",
            "the same source and options, or another location",
            "name another location, or remove this dataset first",
        )
    if manifest.listing_digest == listing_digest:
        return False
    if not update:
        raise UserError(
            f"{dataset} is a finished dataset, and its source has changed since (it had {manifest.listed} images)",
            "an unchanged source, or --update",
            "run it with --update to add what is new without decoding the rest again, or name another location",
        )
    return True


def listing_folder(dataset: str, name: str = "listing") -> str:
    """Location of the shards' parts of the listing."""
    return storage.join(dataset, WORK_FOLDER, name)


def earlier_files(previous: Manifest | None) -> dict[int, tuple[str, ...]]:
    """Return the files of a dataset's earlier state by the number of their shard."""
    by_shard: dict[int, tuple[str, ...]] = {}
    for split in previous.splits.values() if previous else ():
        for file in split.files:
            shard = int(file.path.rsplit("/", 1)[-1].split("-")[1])
            by_shard[shard] = (*by_shard.get(shard, ()), file.path)
    return by_shard


def remove_other_images(dataset: str, keep: Iterable[ParquetFile]) -> int:
    """Remove Parquet files that the dataset does not name (an earlier state's, or what a killed run left half-done).

    Returns:
        The size of those that it does name, in bytes.
    """
    wanted = {file.path for file in keep}
    images = storage.join(dataset, IMAGES_FOLDER)
    metadata = f"{IMAGES_FOLDER}/{COMMON_METADATA}"
    size_bytes = 0
    for path, file_bytes in storage.files_below(images).items():
        name = f"{IMAGES_FOLDER}/{path}"
        if name in wanted:
            size_bytes += file_bytes
        elif name != metadata and _OWN_IMAGES.fullmatch(name):
            storage.remove(storage.join(images, path))
    return size_bytes


def finish(dataset: str, manifest: Manifest) -> None:
    """Make it a dataset: the manifest is written, and after it the run's traces go."""
    storage.write_text(storage.join(dataset, MANIFEST_NAME), manifest.to_json())
    storage.remove(storage.join(dataset, WORK_FOLDER))
    shards = storage.join(dataset, SHARDS_FOLDER)
    kept = {findings_name(name) for name in manifest.shards}
    for name in set(storage.names_in(shards)) - kept:
        if name.endswith(FINDINGS_SUFFIX) or storage.ASIDE.fullmatch(name):
            storage.remove(storage.join(shards, name))
