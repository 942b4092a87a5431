"""An image prepared from its file is the one that the ETL stores and a rank's reader gives to the model, bit by bit."""

import cv2
import numpy as np
import pyarrow as pa
import pytest

from etl.images.normalise import process
from etl.options import EtlOptions
from hvdcells.data.stored_images import ImageColumn
from hvdcells.errors import UserError
from hvdcells.experiment import recipes
from hvdcells.images.decode import Unreadable, decode
from hvdcells.images.prepare import ImagePreparation
from hvdcells.rank.input.decoder import RowGroupDecoder
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.preparation import keep_preparation, preparation_of, read_preparation
from tests.etl.cells import cell
from tests.small_dataset import write_small_dataset

DECIDE_NO_PIXEL = {
    *("layout", "encoding", "split", "proportions", "num_folds", "subject_pattern", "include", "exclude"),
    *("classes", "map_class", "ignore_class", "class_level", "positive", "cancer_class", "subjects"),
    *("path_column", "label_column", "subject_column", "delimiter", "table_encoding"),
    *("near_duplicates", "near_duplicate_bits", "keep_leaks", "label_conflicts", "max_rejects"),
    *("row_group_rows", "seed", "pseudonyms"),
    "max_megapixels",
}
"""Options of the ETL that decide which images are stored, and how, but not what their pixels are."""


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("sizes", [(0, 24, 24), (40, 24, 16), (100, 24, 40), (16, 32, 32), (0, 64, 24)])
@pytest.mark.parametrize("suffix", [".bmp", ".png", ".jpg"])
def test_a_file_becomes_what_etl_and_reader_make_of_it(encoding, sizes, suffix):
    crop, image_size, input_size = sizes
    images = [np.roll(cell(seed, 60), seed, axis=1)[: 50 + seed] for seed in range(4)]
    contents = [cv2.imencode(suffix, image)[1].tobytes() for image in images]
    column = ImageColumn(len(contents), image_size, encoding)
    for content in contents:
        column.add(process(content, image_size, crop).square)
    stored = pa.chunked_array([column.take()])
    read = RowGroupDecoder(image_size, encoding, input_size, most_rows=len(contents)).decode(stored, "here")

    preparation = ImagePreparation(crop=crop, image_size=image_size, input_size=input_size)
    for content, expected in zip(contents, read, strict=True):
        np.testing.assert_array_equal(preparation.of_content(content), expected)
        np.testing.assert_array_equal(preparation.of_pixels(decode(content)), expected)


def test_what_is_no_whole_image_is_told_as_the_etl_tells_it():
    with pytest.raises(Unreadable, match="empty file"):
        ImagePreparation(crop=0, image_size=8, input_size=8).of_content(b"")


def test_every_option_that_decides_pixels_is_kept_with_the_run():
    # Who adds an option decides here whether prediction must know of it.
    assert set(EtlOptions.model_fields) - DECIDE_NO_PIXEL == set(ImagePreparation.model_fields) - {
        "input_size",
        "sample_bits",
    }


def test_a_run_keeps_its_preparation_and_one_without_is_refused(tmp_path):
    run, experiment = RunDirectory.at(tmp_path / "run"), recipes.small_cnn().override({"data.input_size": 16})
    manifest = write_small_dataset(tmp_path / "dataset", {"train": [[2]]}).manifest
    keep_preparation(run, manifest, experiment)  # a manifest that does not say
    with pytest.raises(UserError, match=r"preparation\.json is not there"):
        read_preparation(run)

    manifest = manifest.model_copy(update={"options": {"crop": 20}})
    keep_preparation(run, manifest, experiment)
    expected = ImagePreparation(crop=20, image_size=24, input_size=16)
    assert read_preparation(run) == preparation_of(manifest, experiment) == expected

    text = (tmp_path / "run" / "preparation.json").read_text()
    (tmp_path / "run" / "preparation.json").write_text(text.replace("{", '{"stain": "macenko",', 1))
    with pytest.raises(UserError, match="stain"):  # a later version did more to the images
        read_preparation(run)
