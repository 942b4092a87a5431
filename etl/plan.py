"""The edge of a run: everything that can be known and refused before Spark is needed."""

import os
from collections import Counter
from dataclasses import dataclass

from etl.dataset import work_folder
from etl.demo_cells.marker import SyntheticMarker, read_marker
from etl.options import DECODING_VERSION, EtlOptions
from etl.placement.decide import decide_placement
from etl.placement.place import Placement
from etl.source.layouts import Layout
from etl.source.layouts.detect import understand
from etl.source.listing import Listing
from etl.source.pseudonyms import Pseudonyms
from etl.source.rows import FILE_NOT_FOUND, PATTERN_FINDS_NONE
from hvdcells import storage
from hvdcells.data.manifest import Manifest
from hvdcells.errors import UserError
from hvdcells.runs.lock import refuse_owned
from hvdcells.spark.listener import Listener

NO_VALIDATION = (
    "the source brings no images for validation: whole subjects of its training side are taken for it "
    "(--split grouped divides all subjects anew)"
)


_NO_LABELS = "name the folder that holds the training data too"
_REMEDIES = {
    PATTERN_FINDS_NONE: "correct --subject-pattern (it is searched for in the path below the source), or leave it out",
    FILE_NOT_FOUND: "mend the paths of the table: they are below its folder, absolute, or addresses",
}
"""What to do where most images are lost for one reason."""


class ResolvedOptions(EtlOptions):
    """Options in which nothing is left to the layout."""

    crop: int
    """Side of the centre square, in pixels; 0 for the largest."""


@dataclass(frozen=True)
class Plan:
    """A run that can begin."""

    source: str
    dataset: str
    options: ResolvedOptions
    layout: Layout
    listing: Listing
    has_validation: bool
    """The source itself brings images for validation."""
    placement: Placement
    """Where every image goes, as far as can be told before one is decoded."""
    synthetic: bool
    found: work_folder.LocationState
    """What was at the location."""
    finished: Manifest | None
    """Of the finished dataset that is at the location and is being updated."""
    previous: Manifest | None
    """Of the dataset's earlier state, from which shards and files are taken over."""


@dataclass(frozen=True)
class UpToDate:
    """A run that need not begin: the dataset is finished and in line with its source."""

    manifest: Manifest


@storage.user_errors()
def plan_etl(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    options: EtlOptions | None = None,
    update: bool = False,
    listener: Listener | None = None,
) -> Plan | UpToDate:
    """Look at the source and at what is at the dataset's location, and touch nothing. Arguments as for `run_etl`.

    Raises:
        UserError: the source, the options or what is at the dataset's location is not acceptable.
    """
    listener = listener or Listener()
    options = options or EtlOptions()
    source, dataset = storage.absolute(source), storage.absolute(dataset)
    refuse_overlap(source, dataset)
    marker = read_marker(source)
    refuse_unfinished_synthetic(source, marker)
    found = work_folder.look(dataset)
    refuse_owned(dataset)
    layout = understand(source, options)
    pseudonyms = pseudonyms_of(options, source, dataset)
    listing = Listing(layout, pseudonyms)
    synthetic = ", synthetic" if marker else ""
    listener.say(f"{listing.num_images} images in {source}, layout {layout.name}{synthetic}")
    resolved = resolve(options, layout, pseudonyms)
    refuse_unusable(layout, listing, resolved)
    for note in layout.notes:
        listener.say(note)
    if layout.subjects_known:
        listener.say(listing.subjects_told())
    has_validation = listing.num_per_official_split()["validation"] > 0
    if resolved.split == "official" and not has_validation:
        listener.say(NO_VALIDATION)
    if found.unfinished is not None:
        work_folder.refuse_other_run(dataset, found.unfinished, source, resolved)
    previous = found.manifest or found.previous
    # An interrupted update goes on as one, whether or not it is said again.
    update = update or found.manifest is None
    stale = previous is None or work_folder.is_stale(previous, listing.digest, resolved, source, dataset, update)
    if found.manifest is not None and not stale:
        listener.say(f"{dataset} is up to date: nothing to do")
        return UpToDate(found.manifest)
    if previous is not None and previous.versions.get("decoding") != DECODING_VERSION:
        listener.say(f"{dataset} is of an earlier version, which read images in another way: all are decoded again")
        previous = None
    return Plan(
        source=source,
        dataset=dataset,
        options=resolved,
        layout=layout,
        listing=listing,
        has_validation=has_validation,
        placement=decide_placement(listing.num_per_kind, resolved, layout.class_names, has_validation),
        synthetic=marker is not None,
        found=found,
        finished=found.manifest,
        previous=previous,
    )


def refuse_overlap(source: str, dataset: str) -> None:
    """Refuse a dataset inside its own source, or a source inside the dataset.

    Raises:
        UserError: they overlap.
    """
    places = (os.path.realpath(place) if storage.is_local(place) else place.rstrip("/") for place in (source, dataset))
    inner, outer = sorted((f"{place}/" for place in places), key=len, reverse=True)
    if inner.startswith(outer):
        raise UserError(
            f"the source {source} and the dataset {dataset} lie one within the other",
            "two separate locations",
            "name a location for the dataset outside the source",
        )


def refuse_unfinished_synthetic(source: str, marker: SyntheticMarker | None) -> None:
    """Refuse demonstration cells that were not all drawn.

    Raises:
        UserError: the set is incomplete.
    """
    if marker is not None and not marker.complete:
        raise UserError(
            f"the demonstration cells in {source} are incomplete: drawing them was interrupted",
            f"all {marker.num_images} images",
            "run the same `hvdcells synthesize` again; it completes the set",
        )


def pseudonyms_of(options: EtlOptions, source: str, dataset: str) -> Pseudonyms | None:
    """Return what names are replaced by, if that is asked for.

    Raises:
        UserError: the key lies with the images or in the dataset, is none, or can be read by others.
    """
    if options.pseudonyms is None:
        return None
    file = os.path.realpath(options.pseudonyms)
    for place in (os.path.realpath(local) for each in (source, dataset) if (local := storage.local_path(each))):
        if file.startswith(f"{place}{os.sep}"):
            raise UserError(
                f"the key of pseudonyms {options.pseudonyms} lies in {place}",
                "a key apart from the images and from the dataset: whoever has it can tell who is who",
                "name a file elsewhere",
            )
    return Pseudonyms(file)


def resolve(options: EtlOptions, layout: Layout, pseudonyms: Pseudonyms | None = None) -> ResolvedOptions:
    """Return the options with `auto` and None replaced by what the layout brings, and the key by its id."""
    split = options.split
    if split == "auto":
        split = "official" if layout.has_official_split else "grouped"
    crop = layout.default_crop if options.crop is None else options.crop
    key_id = pseudonyms.key_id if pseudonyms else None
    return ResolvedOptions(
        **(options.model_dump() | {"layout": layout.name, "split": split, "crop": crop, "pseudonyms": key_id})
    )


def refuse_unusable(layout: Layout, listing: Listing, options: EtlOptions) -> None:
    """Refuse a source that cannot become a dataset with these options.

    Raises:
        UserError: a class without images, no labelled image, or `official` without official splits.
    """
    num_per_label = listing.num_per_label()
    classes = {name: num_per_label[label] for label, name in enumerate(layout.class_names)}
    if not sum(classes.values()):
        reasons = {**listing.rejected, **listing.left_aside}
        if listing.num_unlabelled:
            reasons["without a label"] = listing.num_unlabelled
        told = ", ".join(f"{num} × {reason}" for reason, num in Counter(reasons).most_common(3))
        raise UserError(
            f"none of the {listing.num_images} images can be used: {told}",
            f"images of the classes {', '.join(layout.class_names)}",
            _REMEDIES.get(max(reasons, key=lambda reason: reasons[reason]), _NO_LABELS),
        )
    if min(classes.values()) == 0:
        found = ", ".join(f"{num} × {name}" for name, num in classes.items())
        lacking = [name for name, num in classes.items() if num == 0]
        raise UserError(
            f"the source has no usable image of the class{'es' if len(lacking) > 1 else ''} {', '.join(lacking)} "
            f"({found})",
            f"images of each of the classes {', '.join(layout.class_names)}",
            "name the folder that holds them all"
            + (f", or leave it aside with --ignore-class {lacking[0]}" if len(classes) - len(lacking) > 1 else ""),
        )
    if options.split == "official" and not layout.has_official_split:
        raise UserError(
            f"--split official, but the layout {layout.name} brings no splits",
            "C-NMC, or a table with a split column",
            "use --split grouped or --split k-fold",
        )
