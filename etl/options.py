"""Options of the ETL stage, validated once."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from hvdcells.data.columns import (
    LARGEST_IMAGE_SIZE,
    MOST_ROW_GROUP_BYTES,
    MOST_ROW_GROUP_ROWS,
    SMALLEST_IMAGE_SIZE,
    ImageEncoding,
)
from hvdcells.errors import UserError, raise_together

LayoutName = Literal["auto", "cnmc", "folders", "table"]
SplitStrategy = Literal["auto", "official", "grouped", "k-fold"]

LARGEST_SQUARE = 0
CNMC_CROP = 300


class EtlOptions(BaseModel):
    """What the ETL stage is asked to do. Make one with `EtlOptions.of` to get errors a user can act on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: LayoutName = "auto"
    image_size: Annotated[int, Field(ge=SMALLEST_IMAGE_SIZE, le=LARGEST_IMAGE_SIZE)] = 224
    """Side of the square images that are written, in pixels."""
    crop: Annotated[int, Field(ge=0, le=65536)] | None = None
    """Side of the centre square cut out before resizing, in pixels; 0 is the largest square the image holds. None
    lets the layout decide: 300 for C-NMC, the largest square otherwise. A smaller image is padded with black."""
    encoding: ImageEncoding = "raw"
    split: SplitStrategy = "auto"
    """`auto` is `official` where the source brings its splits, `grouped` elsewhere."""
    proportions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of train, validation and test for `grouped`."""
    num_folds: Annotated[int, Field(ge=2, le=100)] = 5
    """Folds of `k-fold`."""
    keep_leaks: bool = False
    """Keep images of `official` and `k-fold` whose subject or pixels are on two sides, instead of dropping them from
    the side that is trained on. `hvdcells check` then fails, as it must."""
    near_duplicates: Literal["report", "join"] = "report"
    """`join` puts the subjects of near-duplicate images into one leakage group; `report` only names them."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=3)] = 2
    """Two images whose 64-bit perceptual hashes differ in at most this many bits are near-duplicates."""
    subject_pattern: str | None = None
    """Regular expression that finds the subject in an image's path, in its first group; for `folders`."""
    cancer_class: str | None = None
    """Class that becomes label 1; needed where the class names do not tell."""
    max_rejects: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the listed images that may be rejected before the run fails."""
    row_group_rows: Annotated[int, Field(ge=1, le=MOST_ROW_GROUP_ROWS)] = 32
    """Most images in a Parquet row group; small splits get smaller ones, so that every rank finds some."""
    seed: int = 0

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
        try:
            return cls(**values)
        except ValidationError as error:
            raise_together(
                UserError(
                    f"{'.'.join(map(str, problem['loc'][:1]))}={problem.get('input')!r} is not a valid ETL option",
                    problem["msg"],
                    f"correct --{str(problem['loc'][0]).replace('_', '-')}",
                )
                for problem in error.errors()
            )
            raise

    def decoding_digest(self) -> str:
        """Digest of the options that decide the pixels written: shards decoded under the same one are reusable."""
        chosen = {"image_size": self.image_size, "crop": self.crop, "encoding": self.encoding}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]
