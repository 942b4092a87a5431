"""The edge of a run: everything that can be known and refused before Spark is needed."""

import os
from dataclasses import dataclass

from etl.dataset import work_folder
from etl.demo_cells.marker import read_marker
from etl.listener import Narrator
from etl.options import EtlOptions
from etl.placement.place import Placement, decide
from etl.source.layouts import Layout
from etl.source.layouts.detect import understand
from etl.source.listing import Listing
from etl.validating import refuse_overlap, refuse_unfinished_synthetic, refuse_unusable, resolve
from hvdcells import storage
from hvdcells.data.manifest import Manifest

NO_VALIDATION = (
    "the source brings no images for validation: whole subjects of its training side are taken for it "
    "(--split grouped divides all subjects anew)"
)


@dataclass(frozen=True)
class Plan:
    """A run that can begin, or one that need not."""

    source: str
    dataset: str
    options: EtlOptions
    """Without `auto` and None."""
    layout: Layout
    listing: Listing
    has_validation: bool
    """The source itself brings images for validation."""
    placement: Placement | None
    """Where every image goes, as far as can be told before one is decoded; None when there is nothing to do."""
    synthetic: bool
    finished: Manifest | None
    """Of the finished dataset that is at the location; it is being updated unless `nothing_to_do`."""
    previous: Manifest | None
    """Of the dataset's earlier state, from which shards and files are taken over."""
    nothing_to_do: bool


def plan_etl(
    source: str | os.PathLike,
    dataset: str | os.PathLike,
    options: EtlOptions | None = None,
    update: bool = False,
    narrator: Narrator | None = None,
) -> Plan:
    """Look at the source and at what is at the dataset's location, and touch nothing. Arguments as for `run_etl`.

    Raises:
        UserError: the source, the options or what is at the dataset's location is not acceptable.
    """
    narrator = narrator or Narrator()
    options = options or EtlOptions()
    source, dataset = storage.absolute(source), storage.absolute(dataset)
    refuse_overlap(source, dataset)
    marker = read_marker(source)
    refuse_unfinished_synthetic(source, marker)
    found = work_folder.look(dataset)
    layout = understand(source, options)
    listing = Listing(layout)
    synthetic = ", synthetic" if marker else ""
    narrator.say(f"{listing.num_images} images in {source}, layout {layout.name}{synthetic}")
    options = resolve(options, layout)
    refuse_unusable(layout, listing, options)
    for note in layout.notes:
        narrator.say(note)
    has_validation = listing.num_per_official_split()["validation"] > 0
    if options.split == "official" and not has_validation:
        narrator.say(NO_VALIDATION)
    previous = found.manifest or found.previous
    # An interrupted update goes on as one, whether or not it is said again.
    update = update or found.manifest is None
    stale = previous is None or work_folder.is_stale(previous, listing.digest, options, source, dataset, update)
    nothing_to_do = found.manifest is not None and not stale
    if nothing_to_do:
        narrator.say(f"{dataset} is up to date: nothing to do")
    return Plan(
        source=source,
        dataset=dataset,
        options=options,
        layout=layout,
        listing=listing,
        has_validation=has_validation,
        placement=None if nothing_to_do else decide(listing.num_per_kind, options, layout.class_names, has_validation),
        synthetic=marker is not None,
        finished=found.manifest,
        previous=previous,
        nothing_to_do=nothing_to_do,
    )
