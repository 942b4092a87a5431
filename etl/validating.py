"""Checks at the edge, before any work begins."""

from collections.abc import Mapping

from etl.demo_cells.marker import SyntheticMarker
from etl.options import EtlOptions
from etl.source.layouts import Layout
from etl.source.listing import Listing
from hvdcells.errors import UserError


def refuse_overlap(source: str, dataset: str) -> None:
    """Refuse a dataset inside its own source, or a source inside the dataset.

    Raises:
        UserError: they overlap.
    """
    inner, outer = sorted((source.rstrip("/") + "/", dataset.rstrip("/") + "/"), key=len, reverse=True)
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
            f"the demonstration cells in {source} are incomplete: their making was interrupted",
            f"all {marker.num_images} images",
            "run the same `hvdcells synthesize` again; it completes the set",
        )


def refuse_empty_training(images_per_split: Mapping[str, int]) -> None:
    """Refuse a split that leaves nothing to train on.

    Raises:
        UserError: the training split is empty.
    """
    if images_per_split["train"] == 0:
        found = ", ".join(f"{number} × {name}" for name, number in images_per_split.items())
        raise UserError(
            f"the training split is empty ({found})",
            "images to train on: for C-NMC, folds 0 and 1",
            "name the root of the data set, or use --split grouped",
        )


def resolve(options: EtlOptions, layout: Layout) -> EtlOptions:
    """Return the options with `auto` and None replaced by what the layout brings."""
    split = options.split
    if split == "auto":
        split = "official" if layout.has_official_split else "grouped"
    crop = layout.default_crop if options.crop is None else options.crop
    return options.model_copy(update={"layout": layout.name, "split": split, "crop": crop})


def refuse_unusable(layout: Layout, listing: Listing, options: EtlOptions) -> None:
    """Refuse a source that cannot become a dataset with these options.

    Raises:
        UserError: one class only, no labelled image, or `official` without official splits.
    """
    num_per_label = listing.num_per_label()
    classes = {name: num_per_label[label] for label, name in enumerate(layout.class_names)}
    if not sum(classes.values()):
        raise UserError(
            f"none of the {listing.num_images} images has a label ({listing.num_unlabelled} are published without)",
            f"images of the classes {' and '.join(layout.class_names)}",
            "name the folder that holds the training data too",
        )
    if min(classes.values()) == 0:
        found = ", ".join(f"{num} × {name}" for name, num in classes.items())
        raise UserError(
            f"the source has images of one class only ({found})",
            f"images of both classes, {' and '.join(layout.class_names)}",
            "name the folder that holds both",
        )
    if options.split == "official" and not layout.has_official_split:
        raise UserError(
            f"--split official, but the layout {layout.name} brings no splits",
            "C-NMC, or a table with a split column",
            "use --split grouped or --split k-fold",
        )
