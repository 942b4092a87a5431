"""What Petastorm reads of a dataset: its schema and the row groups of each file, in `_common_metadata`.

All that this project reaches into Petastorm for. Our own readers never open the file: Petastorm un-pickles the schema.
"""

import json
import pickle
from typing import TYPE_CHECKING

import pyarrow as pa

from hvdcells import storage
from hvdcells.data.columns import TEXT_COLUMNS, ImageEncoding, arrow_schema
from hvdcells.data.manifest import IMAGES_FOLDER, Manifest
from hvdcells.storage import parquet

if TYPE_CHECKING:
    from petastorm.unischema import Unischema

COMMON_METADATA = "_common_metadata"
"""File of the images folder from which Petastorm learns what is in it."""


def unischema(image_size: int, encoding: ImageEncoding) -> "Unischema":
    """Petastorm's Unischema of a dataset whose images have shape (image_size, image_size, 3)."""
    import numpy as np
    from petastorm.codecs import CompressedImageCodec, NdarrayCodec, ScalarCodec
    from petastorm.unischema import Unischema, UnischemaField
    from pyspark.sql.types import IntegerType, StringType

    codec = NdarrayCodec() if encoding == "raw" else CompressedImageCodec("png")
    fields = [
        UnischemaField("image", np.uint8, (image_size, image_size, 3), codec, False),
        UnischemaField("label", np.int32, (), ScalarCodec(IntegerType()), False),
        UnischemaField("fold", np.int32, (), ScalarCodec(IntegerType()), False),
    ]
    fields += [UnischemaField(name, np.str_, (), ScalarCodec(StringType()), False) for name in TEXT_COLUMNS]
    return Unischema("CellImages", fields)


def write_common_metadata(dataset: str, manifest: Manifest) -> None:
    """Write what Petastorm reads first: its schema, and the row groups of each file."""
    from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY

    metadata = {
        UNISCHEMA_KEY: pickle.dumps(unischema(manifest.image_size, manifest.image_encoding)),
        ROW_GROUPS_PER_FILE_KEY: json.dumps(_row_groups_per_file(manifest), sort_keys=True).encode(),
    }
    parquet.write_schema(storage.join(dataset, IMAGES_FOLDER, COMMON_METADATA), arrow_schema().with_metadata(metadata))


def common_metadata_problem(dataset: str, manifest: Manifest) -> str:
    """Return what is wrong with what Petastorm reads first; empty if nothing is. Nothing is un-pickled."""
    from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY

    try:
        metadata = parquet.read_schema(storage.join(dataset, IMAGES_FOLDER, COMMON_METADATA)).metadata or {}
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"{COMMON_METADATA} cannot be read ({str(error).splitlines()[0]})"
    if UNISCHEMA_KEY not in metadata:
        return "there is no Unischema"
    if metadata[UNISCHEMA_KEY] != pickle.dumps(unischema(manifest.image_size, manifest.image_encoding)):
        return "another schema than ours is pickled there: Petastorm would run what it says when it opens the dataset"
    same = json.loads(metadata.get(ROW_GROUPS_PER_FILE_KEY, b"{}")) == _row_groups_per_file(manifest)
    return "" if same else "other files or row groups"


def _row_groups_per_file(manifest: Manifest) -> dict[str, int]:
    written = [file for split in manifest.splits.values() for file in split.files]
    return {file.path.removeprefix(f"{IMAGES_FOLDER}/"): len(file.rows_per_row_group) for file in written}
