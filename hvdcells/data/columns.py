"""The columns of a dataset: the one contract between the ETL stage and everything that reads its Parquet.

An image is stored encoded as a stock Petastorm codec does it (`raw`: `NdarrayCodec`, the pixels themselves,
compressed by Parquet; `png`: `CompressedImageCodec`), because Petastorm's metadata names the codec's module
and a codec of ours would become part of the on-disk format.
"""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow

ImageEncoding = Literal["raw", "png"]

HEALTHY = 0
CANCER = 1
CNMC_CLASS_NAMES = ("hem", "all")
"""Class names of C-NMC 2019 by label: 0 healthy (`hem`), 1 cancer (`all`)."""

SPLITS = ("train", "validation", "test")
NO_FOLD = -1

MOST_ROW_GROUP_ROWS = 4096
"""Most images of a row group."""
SMALLEST_IMAGE_SIZE = 8
LARGEST_IMAGE_SIZE = 4096
"""Side of the largest image that is stored, in pixels."""
MOST_ROW_GROUP_BYTES = 2**31 - 2**20
"""The decoded images of a row group have fewer: what one Arrow column addresses, and what a reader must hold."""

SYNTHETIC_MARKER = "SYNTHETIC.json"
"""File at the root of a set of demonstration cells; what is made of such a set must say that it is synthetic."""

TEXT_COLUMNS = ("class_name", "subject", "image_id", "cell", "source", "content_hash", "group", "split")
COLUMNS = ("image", "label", *TEXT_COLUMNS, "fold")
"""All columns: `image` (encoded uint8 RGB, shape (size, size, 3)), `label` (int32, cancer = 1), `class_name`,
`subject`, `image_id` (unique in the dataset), `cell`, `source` (path below the source), `content_hash`
(XXH3-128 of the decoded pixels), `group` (leakage group), `split` (also the partition folder), `fold` (int32,
`NO_FOLD` where the source has none)."""


def arrow_schema() -> "pyarrow.Schema":
    """Arrow schema of a Parquet file of the dataset; `split` is not in the file, it is the partition folder."""
    import pyarrow as pa

    fields = [pa.field("image", pa.binary()), pa.field("label", pa.int32())]
    fields += [pa.field(name, pa.string()) for name in TEXT_COLUMNS if name != "split"]
    fields.append(pa.field("fold", pa.int32()))
    return pa.schema(fields)
