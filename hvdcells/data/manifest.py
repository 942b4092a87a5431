"""The manifest of a dataset: everything training needs to know without scanning the Parquet.

`manifest.json` is written last by the ETL stage. No manifest, no dataset.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hvdcells.data.columns import (
    LARGEST_IMAGE_SIZE,
    MOST_ROW_GROUP_BYTES,
    MOST_ROW_GROUP_ROWS,
    NO_FOLD,
    SMALLEST_IMAGE_SIZE,
    SPLITS,
    ImageEncoding,
)
from hvdcells.errors import UserError, fields_refused

MANIFEST_NAME = "manifest.json"
IMAGES_FOLDER = "images"
"""Folder of the dataset that is a Petastorm dataset: `split=…/*.parquet` and `_common_metadata`. It holds nothing
else, because Petastorm takes every other file and folder beside its partitions for a part of the data."""
FILE_PATTERN = rf"^{IMAGES_FOLDER}/split=({'|'.join(SPLITS)})/part-[0-9]{{5,}}(-[0-9a-f]+)?\.parquet$"
"""What a Parquet file is called, below the dataset. No path of this form leads out of the dataset."""
FORMAT_VERSION = 1
SYNTHETIC_NOTICE = (
    "The images are SYNTHETIC demonstration cells: these figures say that the pipeline works, nothing about leukemia."
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def default_positive_classes(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that count as ill where nobody says: of two that of label 1, of more none."""
    return tuple(class_names[1:]) if len(class_names) == 2 else ()


Count = Annotated[int, Field(ge=0)]
Channel = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
"""Of R, G or B. The deviation of a channel without light, as of a red fluorescent stain, is 0."""


def lacking_classes(split: str, there: Collection[str], class_names: Sequence[str]) -> str:
    """Say that a split lacks classes, and what follows for scores on it."""
    lacking = [name for name in class_names if name not in there]
    return (
        f"{split} has no image of {', '.join(lacking)}: scores there that depend on {'these' if lacking[1:] else 'it'} "
        "(sensitivity or specificity, AUROC, F1 over classes) mean nothing"
    )


class ParquetFile(_Frozen):
    """One Parquet file of a split: its path below the dataset and the rows of each of its row groups."""

    path: Annotated[str, Field(pattern=FILE_PATTERN)]
    rows_per_row_group: tuple[Annotated[int, Field(gt=0, le=MOST_ROW_GROUP_ROWS)], ...]
    fold: int = NO_FOLD
    """The fold of all its images, in a dataset written with `--split k-fold`; elsewhere a file may mix folds."""
    row_group_checksums: tuple[str, ...] = ()
    """Of the images and labels of each row group; none in a dataset of an earlier version."""
    column_checksums: dict[str, str] = {}
    """Of each column but `image` over the whole file; likewise."""

    @model_validator(mode="after")
    def _one_for_each_row_group(self) -> Self:
        num, wanted = len(self.row_group_checksums), len(self.rows_per_row_group)
        if num not in (0, wanted):
            raise ValueError(f"{num} checksums for {wanted} row groups")
        return self


class ImageCounts(_Frozen):
    """How many images there are, in all and of whom."""

    images: Count
    images_per_class: dict[str, Count]
    images_per_subject: dict[str, Count]
    class_per_subject: dict[str, str]
    """Class name of each subject; `mixed` where a subject has images of several classes."""

    @model_validator(mode="after")
    def _counts_add_up(self) -> Self:
        of_subjects = sum(self.images_per_subject.values())
        if sum(self.images_per_class.values()) != self.images or (
            self.images_per_subject and of_subjects != self.images
        ):
            raise ValueError(f"images per class and per subject do not add up to {self.images} images")
        if self.images_per_subject.keys() != self.class_per_subject.keys():
            raise ValueError("images per subject and class per subject name other subjects")
        return self


class FoldSummary(ImageCounts):
    """What one fold of `--split k-fold` holds."""

    channel_mean: tuple[Channel, Channel, Channel]
    """Mean of each RGB channel over the fold, in 0–255."""
    channel_std: tuple[Channel, Channel, Channel]


class SplitSummary(ImageCounts):
    """What one split holds."""

    images_per_fold: dict[str, Count] = {}
    files: tuple[ParquetFile, ...]
    """In reading order. The order of rows over these files is the same for the same input and seed."""

    @model_validator(mode="after")
    def _files_hold_the_images(self) -> Self:
        rows = sum(sum(file.rows_per_row_group) for file in self.files)
        if rows != self.images or sum(self.images_per_fold.values()) > self.images:
            raise ValueError(f"the files hold {rows} rows; expected {self.images}, as there are images")
        if len({file.path for file in self.files}) < len(self.files):
            raise ValueError("a file is named twice")
        return self


class LeakageReport(_Frozen):
    """Leakage groups (connected components of "same subject" or "same pixels") and what was found in them."""

    num_groups: Count
    groups_of_several_subjects: tuple[tuple[str, ...], ...] = ()
    """Subjects joined by identical pixels (or near-duplicates, when these were joined), one tuple a group."""
    identical_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of sources with the same pixels; the first few thousand of `num_identical_pairs`."""
    num_identical_pairs: Count = 0
    near_duplicate_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs that look the same and are not identical; the first few thousand of `num_near_duplicate_pairs`."""
    num_near_duplicate_pairs: Count = 0
    across_splits: tuple[tuple[str, str], ...] = ()
    """Identical pairs that the split strategy alone would have put on two sides."""
    label_conflicts: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Sets of images with the same pixels and several labels, (source, class name) each; the first few thousand."""
    num_label_conflicts: int = 0
    """Images in all of them; they are among the rejected, unless they were to be kept."""
    dropped: dict[str, str] = {}
    """Sources left out of the dataset because of leakage, with the reason."""
    warnings: tuple[str, ...] = ()


class MarkedImages(_Frozen):
    """Images of which something is to be known, such as that they show one colour only."""

    images: Count
    examples: tuple[str, ...]
    """Sources of the first ones, by name."""


class Manifest(_Frozen):
    """Description of a finished dataset."""

    format_version: int = FORMAT_VERSION
    synthetic: bool
    """The images are generated demonstration cells; every report made from them must say so."""
    source: str
    layout: str
    listing_digest: str
    """SHA-256 over the source listing (paths, sizes, and what tells a changed file)."""
    options: dict[str, Any]
    versions: dict[str, str]
    image_size: Annotated[int, Field(ge=SMALLEST_IMAGE_SIZE, le=LARGEST_IMAGE_SIZE)]
    image_encoding: ImageEncoding
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    """Class name by label."""
    positive_classes: tuple[str, ...] = ()
    """Classes that count as ill, for sensitivity and specificity: with two classes and nothing else said that of label
    1; with more, and nothing said, none."""
    subjects_known: bool = True
    channel_mean: tuple[Channel, Channel, Channel]
    """Mean of each RGB channel over the training split, in 0–255."""
    channel_std: tuple[Channel, Channel, Channel]
    splits: dict[str, SplitSummary]
    folds: dict[str, FoldSummary] = {}
    """Folds of the training split, by number; only in a dataset written with `--split k-fold`."""
    leakage: LeakageReport
    listed: Count
    """Images in the source listing = written + rejected + dropped + unlabelled + left aside."""
    written: Count
    size_bytes: Count = 0
    """Of the Parquet files."""
    rejected: dict[str, Count]
    """Number of rejected images by reason; each is a row of `rejects/`."""
    dropped: Count = 0
    unlabelled: Count = 0
    """Images the source gives no label for: counted, and not used."""
    left_aside: dict[str, Count] = {}
    """Number of images left aside on purpose by reason, such as a class that is ignored."""
    other_files: dict[str, int] = {}
    """Whatever else was found in the source, by what it is: with `listed`, every file that lies there."""
    marked: dict[str, MarkedImages] = {}
    """What was noted of images while they were decoded, that are in the dataset all the same."""
    sample_bits: Annotated[int, Field(ge=8, le=16)] = 16
    """Used of the values of 16-bit files, over all of the source; the eight highest of them are stored."""
    shards: tuple[str, ...] = ()
    """The ETL stage's units of decoding, from which `--update` starts."""

    @model_validator(mode="before")
    @classmethod
    def _positive_unless_said(cls, values: Any) -> Any:
        # A manifest from before there was the field has two classes, and label 1 is the class that counts as ill.
        if isinstance(values, dict) and "positive_classes" not in values:
            names = values.get("class_names")
            if isinstance(names, list | tuple):
                return values | {"positive_classes": default_positive_classes(names)}
        return values

    @model_validator(mode="after")
    def _classes_make_sense(self) -> Self:
        names, positive = set(self.class_names), set(self.positive_classes)
        if len(names) < len(self.class_names):
            raise ValueError(f"class names are not unique: {', '.join(self.class_names)}")
        if not positive <= names or positive == names:
            raise ValueError(
                f"positive classes {', '.join(self.positive_classes)}; expected some, and not all, of the classes "
                f"{', '.join(self.class_names)}"
            )
        return self

    @model_validator(mode="after")
    def _splits_add_up(self) -> Self:
        if sum(split.images for split in self.splits.values()) != self.written:
            raise ValueError(f"the splits do not add up to {self.written} images that were written")
        if not self.splits.keys() <= set(SPLITS):
            raise ValueError(f"splits {', '.join(self.splits)}; expected {', '.join(SPLITS)}")
        for counts in (*self.splits.values(), *self.folds.values()):
            if not {name for name, images in counts.images_per_class.items() if images} <= set(self.class_names):
                raise ValueError("images of a class that is not among the class names")
        return self

    @model_validator(mode="after")
    def _row_groups_can_be_held(self) -> Self:
        sizes = (rows for split in self.splits.values() for file in split.files for rows in file.rows_per_row_group)
        num_bytes = max(sizes, default=0) * self.image_size**2 * 3
        if num_bytes >= MOST_ROW_GROUP_BYTES:
            raise ValueError(f"the largest row group has {num_bytes / 2**30:.1f} GiB of images; expected below 2 GiB")
        return self

    @property
    def accounted(self) -> int:
        """Images that it is told what became of; as many as are listed."""
        gone = sum(self.rejected.values()) + self.dropped + self.unlabelled + sum(self.left_aside.values())
        return self.written + gone

    def to_json(self) -> str:
        """Serialize as indented JSON text."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "Manifest":
        """Parse and validate; `where` is named in the error.

        Raises:
            UserError: the text is no manifest, or one of another format version.
        """
        with fields_refused(
            f"{where} is not a manifest that this version reads: ", "write the dataset again with `hvdcells etl`"
        ):
            manifest = cls.model_validate_json(text)
        if manifest.format_version != FORMAT_VERSION:
            raise UserError(
                f"{where} has format version {manifest.format_version}",
                f"format version {FORMAT_VERSION}",
                "write the dataset again with `hvdcells etl`, or use the hvdcells version that wrote it",
            )
        return manifest
