"""Options of the ETL stage, validated once."""

import codecs
import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from hvdcells.data.columns import (
    LARGEST_IMAGE_SIZE,
    MOST_ROW_GROUP_BYTES,
    MOST_ROW_GROUP_ROWS,
    SMALLEST_IMAGE_SIZE,
    ImageEncoding,
)
from hvdcells.errors import fields_refused
from hvdcells.images.formats import MOST_PIXELS

LayoutName = Literal["auto", "cnmc", "folders", "table"]
SplitStrategy = Literal["auto", "official", "grouped", "k-fold"]

DECODING_VERSION = "3"
"""Raised when the same file and options give other pixels or other findings than before: nothing decoded under another
version is used again."""
LARGEST_SQUARE = 0
CNMC_CROP = 300


def _apart(given: Any) -> Any:
    """Take words with commas between them apart; a tuple is taken as it is, so that a name may hold a comma."""
    if isinstance(given, str | list):
        texts = [given] if isinstance(given, str) else given
        return tuple(word.strip() for text in texts for word in str(text).split(","))
    return given


Words = Annotated[tuple[str, ...], BeforeValidator(_apart)]


def _mark(given: Any) -> Any:
    """Take what people write for a tab."""
    return {"tab": "\t", "\\t": "\t"}.get(given, given) if isinstance(given, str) else given


class EtlOptions(BaseModel):
    """What the ETL stage is asked to do. Make one with `EtlOptions.of` to get errors a user can act on.

    The options of `hvdcells etl` are these fields, and its help is what stands below each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    layout: LayoutName = "auto"
    """How labels are found: C-NMC 2019's names, one folder per class, or a table."""
    image_size: Annotated[int, Field(ge=SMALLEST_IMAGE_SIZE, le=LARGEST_IMAGE_SIZE)] = 224
    """Side of the square images that are written, in pixels."""
    crop: Annotated[int, Field(ge=0, le=65536)] | None = None
    """Side of the centre square cut out first, in pixels; 0: the largest that the image holds. A smaller image is
    padded with black. Left out: 300 for C-NMC, else 0."""
    encoding: ImageEncoding = "raw"
    """raw is read fastest; png is smaller and slower."""
    split: SplitStrategy = "auto"
    """auto: official where the source brings splits, else grouped. Subjects stay whole in each."""
    proportions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of train, validation and test for grouped."""
    num_folds: Annotated[int, Field(ge=2, le=100)] = 5
    """Folds of k-fold."""
    classes: Words = ()
    """All classes in the order of their labels, as a,b,c. Left out: the one that counts as ill last, where the names
    of two tell; else by name."""
    map_class: dict[str, str] = {}
    """Take the source's class OLD for NEW, as OLD=NEW; several may become one."""
    ignore_class: tuple[str, ...] = ()
    """Leave a class of the source aside; its images are counted."""
    class_level: Annotated[int, Field(ge=1)] | None = None
    """Level of the folders that are named for classes: 1 is directly below the source. Left out: found out."""
    positive: Words = ()
    """Classes that count as ill, as a,b: sensitivity and specificity are theirs. Left out: with two classes the one
    whose name tells, else the last; with more, none."""
    cancer_class: str | None = None
    """The same as --positive, for one class."""
    include: tuple[str, ...] = ()
    """Take only images whose path below the source is like this, as '*/20x/*'; others are left aside and counted."""
    exclude: tuple[str, ...] = ()
    """Leave images aside whose path below the source is like this, as '*_overlay.*'; they are counted."""
    path_column: str | None = None
    """Column of a table that names the image: a path, or a file name that only one image has."""
    label_column: str | None = None
    """Column of a table that names the class."""
    subject_column: str | None = None
    """Column of a table that names the subject."""
    delimiter: Annotated[str, BeforeValidator(_mark), Field(max_length=1)] = ""
    """What stands between the columns of a CSV. Left out: comma, semicolon, tab or bar, found out."""
    table_encoding: str = ""
    """Encoding of a CSV, such as cp1252. Left out: found out."""
    subject_pattern: str | None = None
    """Regular expression that finds the subject in a path: the group named subject, else the first group, else all
    that it matches; for folders."""
    subjects: Literal["fold", "exact"] = "fold"
    """fold: names that differ in case, blanks, or a spreadsheet's zeros only are one subject; exact: they are not."""
    near_duplicates: Literal["report", "join"] = "report"
    """join: keep subjects of look-alike images on one side; report only names them."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=3)] = 2
    """Images whose 64-bit perceptual hashes differ in at most so many bits look alike."""
    keep_leaks: bool = False
    """Keep images whose subject or pixels official splits or folds put on two sides, instead of dropping them from
    the side that is trained on. Scores will flatter, and `hvdcells check` fails, as it must."""
    label_conflicts: Literal["reject", "keep"] = "reject"
    """Images with the same pixels under several labels: reject all of them, or keep them, and `hvdcells check`
    fails, as it must."""
    pseudonyms: str | None = None
    """File with a key, made where there is none: subjects, files, image ids and cells are replaced by keyed digests
    (HMAC) in all that is written. Which is whose is written beside the key, for its holder only."""
    max_megapixels: Annotated[float, Field(gt=0, le=1024)] = MOST_PIXELS / 1e6
    """Largest image that is decoded, in millions of pixels; a larger one is rejected before it takes memory."""
    max_rejects: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the listed images that may be unusable before the run fails."""
    row_group_rows: Annotated[int, Field(ge=1, le=MOST_ROW_GROUP_ROWS)] = 32
    """Most images in a Parquet row group; small splits get smaller ones, so that every rank finds some."""
    seed: int = 0
    """Seed of the order of images and of the splits."""

    @field_validator("row_group_rows")
    @classmethod
    def _fits_an_arrow_column(cls, value: int, others: ValidationInfo) -> int:
        num_bytes = value * others.data.get("image_size", 0) ** 2 * 3
        if num_bytes >= MOST_ROW_GROUP_BYTES:
            raise ValueError(
                f"expected row groups below 2 GiB; so many images of that size have {num_bytes / 2**30:.1f}"
            )
        return value

    @field_validator("proportions")
    @classmethod
    def _whole(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or value[0] == 0 or abs(sum(value) - 1) > 1e-6:
            raise ValueError("expected three shares of train, validation and test that add up to 1, train above 0")
        return value

    @classmethod
    def of(cls, **values: Any) -> "EtlOptions":
        """Make options, reporting all wrong values together.

        Raises:
            UserError: one or several values are not acceptable.
        """
        with fields_refused("the ETL option ", "correct it, or leave it out"):
            return cls(**values)

    @field_validator("table_encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError:
            raise ValueError("expected an encoding that Python knows, such as utf-8, utf-16 or cp1252") from None
        return value

    @property
    def most_pixels(self) -> int:
        """Width × height of the largest image that is decoded."""
        return round(self.max_megapixels * 1e6)

    def decoding_digest(self) -> str:
        """Digest of the options that decide the pixels written: shards decoded under the same one are reusable."""
        chosen: dict[str, Any] = {"image_size": self.image_size, "crop": self.crop, "encoding": self.encoding}
        if self.most_pixels != MOST_PIXELS:  # images that were too large are looked at again
            chosen["most_pixels"] = self.most_pixels
        chosen |= {"version": DECODING_VERSION}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]
