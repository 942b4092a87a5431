"""A dataset's manifest as tables on the screen."""

from collections.abc import Sequence

from rich.table import Table

from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE, LeakageReport, SplitSummary
from launch.terminal.console import Console

_MOST_SUBJECTS = 12
_MOST_COLUMNS = 6
"""More classes than these are rows of a table of their own."""
_MOST_WARNINGS = 10
_MOST_EXAMPLES = 3


def print_dataset(dataset: Dataset, console: Console) -> None:
    """Print what a dataset holds: images per split, class and subject, leakage, rejects, size."""
    manifest = dataset.manifest
    options = manifest.options
    console.print(dataset.location, style="bold", highlight=False)
    console.print(
        f"from {manifest.source} (layout {manifest.layout}), {manifest.image_size}×{manifest.image_size} pixels, "
        f"{manifest.image_encoding}, split {options.get('split')}, seed {options.get('seed')}",
        markup=False,
        highlight=False,
    )
    names = manifest.class_names
    console.print(_splits(manifest.splits, names if len(names) <= _MOST_COLUMNS else ()))
    if len(names) > _MOST_COLUMNS:
        console.print(_classes(manifest.splits, names))
    if manifest.positive_classes:
        console.print(f"Counts as ill: {', '.join(manifest.positive_classes)}.", markup=False, highlight=False)
    if manifest.subjects_known:
        console.print(_subjects(manifest.splits))
    console.print(_accounts(dataset))
    _print_leakage(manifest.leakage, manifest.subjects_known, console)
    if manifest.synthetic:
        console.print(SYNTHETIC_NOTICE, style="bold yellow")


def _splits(splits: dict[str, SplitSummary], class_names: Sequence[str]) -> Table:
    table = Table(title="Splits")
    table.add_column("split")
    for name in ("images", *class_names, "subjects", "folds", "files", "row groups"):
        table.add_column(name, justify="right")
    for name, split in splits.items():
        table.add_row(
            name,
            str(split.images),
            *(str(split.images_per_class.get(class_name, 0)) for class_name in class_names),
            str(len(split.images_per_subject) or "–"),
            ", ".join(f"{fold}: {images}" for fold, images in split.images_per_fold.items()) or "–",
            str(len(split.files)),
            str(sum(len(file.rows_per_row_group) for file in split.files)),
        )
    return table


def _classes(splits: dict[str, SplitSummary], class_names: Sequence[str]) -> Table:
    table = Table(title="Images per class")
    table.add_column("label", justify="right")
    table.add_column("class")
    for split in splits:
        table.add_column(split, justify="right")
    for label, name in enumerate(class_names):
        table.add_row(str(label), name, *(str(split.images_per_class.get(name, 0)) for split in splits.values()))
    return table


def _subjects(splits: dict[str, SplitSummary]) -> Table:
    table = Table(title="Images per subject")
    table.add_column("split")
    table.add_column("class")
    table.add_column("subjects")
    for name, split in splits.items():
        for class_name in sorted(set(split.class_per_subject.values())):
            members = [
                (images, subject)
                for subject, images in split.images_per_subject.items()
                if split.class_per_subject[subject] == class_name
            ]
            members.sort(key=lambda member: (-member[0], member[1]))
            text = ", ".join(f"{subject} {images}" for images, subject in members[:_MOST_SUBJECTS])
            more = len(members) - _MOST_SUBJECTS
            table.add_row(name, class_name, text + (f" and {more} more" if more > 0 else ""))
    return table


def _accounts(dataset: Dataset) -> Table:
    manifest = dataset.manifest
    table = Table(title="Every file of the source")
    table.add_column("")
    table.add_column("images", justify="right")
    table.add_column("")
    table.add_row("listed", str(manifest.listed), "")
    per_image = manifest.size_bytes / max(1, manifest.written) / 1e3
    table.add_row("written", str(manifest.written), f"{manifest.size_bytes / 1e6:.1f} MB, {per_image:.1f} kB each")
    for reason, number in sorted(manifest.rejected.items(), key=lambda item: -item[1]):
        table.add_row("rejected", str(number), reason)
    table.add_row("dropped", str(manifest.dropped), "copies on the side that is trained on")
    table.add_row("unlabelled", str(manifest.unlabelled), "the source gives no label")
    for reason, number in sorted(manifest.left_aside.items(), key=lambda item: -item[1]):
        table.add_row("left aside", str(number), reason)
    for kind, number in sorted(manifest.other_files.items(), key=lambda item: -item[1]):
        table.add_row("no image", str(number), kind)
    for mark, marked in sorted(manifest.marked.items(), key=lambda item: -item[1].images):
        more = ", …" if marked.images > _MOST_EXAMPLES else ""
        table.add_row(
            "written, look", str(marked.images), f"{mark} ({', '.join(marked.examples[:_MOST_EXAMPLES])}{more})"
        )
    if manifest.sample_bits < 16:
        table.add_row("", "", f"16-bit files use {manifest.sample_bits} bits: the eight highest of these are stored")
    return table


def _print_leakage(leakage: LeakageReport, subjects_known: bool, console: Console) -> None:
    what = "subjects joined by shared images" if subjects_known else "images joined by the same pixels"
    console.print(
        f"{leakage.num_groups} leakage groups, {len(leakage.groups_of_several_subjects)} of them several {what}; "
        f"{leakage.num_identical_pairs} pairs of identical images, {len(leakage.across_splits)} of them across splits; "
        f"{leakage.num_near_duplicate_pairs} pairs that look the same.",
        highlight=False,
    )
    for group in leakage.groups_of_several_subjects[:_MOST_WARNINGS]:
        console.print(f"  one group: {', '.join(group[:_MOST_SUBJECTS])}", markup=False, highlight=False)
    for warning in leakage.warnings[:_MOST_WARNINGS]:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    if len(leakage.warnings) > _MOST_WARNINGS:
        console.print(f"… and {len(leakage.warnings) - _MOST_WARNINGS} more warnings in the manifest", style="yellow")
