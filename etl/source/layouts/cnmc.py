"""The layouts of C-NMC 2019: training folds by folder, preliminary test by its labels CSV, final test unlabelled."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from etl.options import CNMC_CROP, EtlOptions
from etl.source.files import Inventory
from etl.source.layouts import Layout
from etl.source.layouts.classes import Classes, settle_classes
from etl.source.rows import LISTED, REJECTED, UNLABELLED, ImageRow
from hvdcells.data.columns import CNMC_CLASS_NAMES, NO_FOLD
from hvdcells.images import cell_names as names
from hvdcells.images.cell_names import labels_in
from hvdcells.images.files import SourceFile

OFFICIAL_SPLIT_BY_FOLD = {0: "train", 1: "train", 2: "validation"}
_CLASS_BY_LABEL_TEXT = {"0": "hem", "1": "all"}


def recognises(inventory: Inventory) -> bool:
    """Whether the source is C-NMC: class folders or file names as there, or a preliminary test with its CSV."""
    return inventory.has_cell_names or any(names.is_preliminary_test(path + "/x") for path in inventory.folders)


def layout(source: str, inventory: Inventory, options: EtlOptions) -> Layout:
    """Describe a C-NMC source.

    Raises:
        UserError: an option names a class that it does not have.
    """
    labels = labels_in(source, inventory.tables)
    used = [path for path in inventory.tables if path.lower().endswith(".csv")] if labels else []
    classes = settle_classes(dict.fromkeys(CNMC_CLASS_NAMES, 0), options, f"the C-NMC source {source}")
    return Layout(
        name="cnmc",
        base=source,
        class_names=classes.names,
        positive_classes=classes.positive,
        rows=lambda: (_classed(row, classes) for row in rows_of(inventory.images(), labels)),
        has_official_split=True,
        subjects_known=True,
        default_crop=CNMC_CROP,
        notes=(*inventory.notes, *classes.notes),
        left_aside=inventory.left_aside,
        other_files=inventory.everything_else("table of labels", used),
    )


def _classed(row: ImageRow, classes: Classes) -> ImageRow:
    return classes.labelled(row, row.class_name) if row.status == LISTED else row


def rows_of(images: Iterable[SourceFile], labels: Mapping[str, tuple[str, str]]) -> Iterator[ImageRow]:
    """Yield one row per image."""
    for file in images:
        if names.is_final_test(file.path):
            known = (file.path, file.size_bytes, file.fingerprint)
            yield ImageRow(*known, status=UNLABELLED, reason="final test set, published without labels")
        elif names.is_preliminary_test(file.path):
            yield _preliminary_row(file, labels)
        else:
            yield _training_row(file)


def _training_row(file: SourceFile) -> ImageRow:
    cell = names.parse_cell_name(file.path)
    folder_class = names.class_folder_of(file.path)
    if cell is None:
        return _rejected(file, "file name is not UID_<subject>_<image>_<cell>_{all,hem}")
    if folder_class is not None and folder_class != cell.class_name:
        return _rejected(file, f"named {cell.class_name} but lies in the folder {folder_class}")
    fold = names.fold_of(file.path)
    if fold is None:
        return _labelled(file, cell, NO_FOLD, "train")
    return _labelled(file, cell, fold, OFFICIAL_SPLIT_BY_FOLD.get(fold, "train"))


def _preliminary_row(file: SourceFile, labels: Mapping[str, tuple[str, str]]) -> ImageRow:
    name = PurePosixPath(file.path).name
    if name.lower() not in labels:
        # Some copies of the set keep the original names.
        cell = names.parse_cell_name(name)
        if cell is not None:
            return _labelled(file, cell, NO_FOLD, "test")
        return _rejected(file, "preliminary test image without a line in the labels CSV")
    original, label = labels[name.lower()]
    cell = names.parse_cell_name(original)
    if cell is None:
        return _rejected(file, f"labels CSV gives an original name of another form: {original!r}")
    if _CLASS_BY_LABEL_TEXT.get(label) != cell.class_name:
        return _rejected(file, f"labels CSV says {label!r} but the original name {original}")
    return _labelled(file, cell, NO_FOLD, "test")


def _labelled(file: SourceFile, cell: names.CellName, fold: int, split: str) -> ImageRow:
    return ImageRow(
        file.path,
        file.size_bytes,
        file.fingerprint,
        label=cell.label,
        class_name=cell.class_name,
        subject=cell.subject,
        image_id=f"UID_{cell.subject}_{cell.image}_{cell.cell}_{cell.class_name}",
        cell=cell.cell,
        fold=fold,
        official_split=split,
    )


def _rejected(file: SourceFile, reason: str) -> ImageRow:
    return ImageRow(file.path, file.size_bytes, file.fingerprint, status=REJECTED, reason=reason)
