"""Datasets that somebody made to run code, to read elsewhere or to fill the memory of those who open them."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hvdcells
from hvdcells.data.columns import arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.driver.contact_sheet import draw_contact_sheet
from hvdcells.errors import UserError
from hvdcells.rank.input.batches import rank_batches
from hvdcells.rank.input.reader import open_reader
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8, 3]], "validation": [[8]], "test": [[8]]}
EXPERIMENT = hvdcells.recipes.small_cnn().override({"training.epochs": 1, "data.batch_size": 4, "model.width": 0.2})
FILE = "images/split=train/part-00000.parquet"
TEST_FILE = "images/split=test/part-00000.parquet"


class Hostile:
    """Creates a file when it is un-pickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (eval, (f"open({str(self.path)!r}, 'w').close()",))


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", GROUPS)


def lay_trap(folder, trap):
    """Make a folder a Petastorm dataset whose schema creates the trap's file when it is un-pickled."""
    metadata = {b"dataset-toolkit.unischema.v1": pickle.dumps(Hostile(trap), protocol=2)}
    pq.write_metadata(arrow_schema().with_metadata(metadata), folder / "_common_metadata")


def read_all(dataset, split="train"):
    order = range(len(dataset.rows_per_row_group(split)))
    with open_reader(dataset, split, order, input_size=24, num_threads=2) as row_groups:
        return list(row_groups)


def rename_in_manifest(folder, name):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["train"]["files"][0]["path"] = name
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_hostile_schema_beside_the_data_is_not_run(dataset, tmp_path):
    trap = tmp_path / "trap"
    lay_trap(tmp_path / "dataset/images", trap)
    assert len(read_all(dataset)) == 3
    assert not trap.exists()


def test_the_trap_works(tmp_path):
    trap = tmp_path / "trap"
    lay_trap(tmp_path, trap)
    pickle.loads(pq.read_schema(tmp_path / "_common_metadata").metadata[b"dataset-toolkit.unischema.v1"])
    assert trap.exists()


def contact_sheet(dataset, run):
    draw_contact_sheet(dataset, EXPERIMENT, f"{run}.png")


def train(dataset, run):
    hvdcells.train(dataset, run, EXPERIMENT, backend=InProcess())


def batches(dataset, _):
    plan = plan_epoch(dataset.rows_per_row_group("train"), 1, 4)
    with rank_batches(dataset, "train", [plan], 0, input_size=24, num_threads=2) as stream:
        list(stream)


@pytest.mark.tensorflow
@pytest.mark.parametrize("reads", [contact_sheet, train, batches])
def test_a_folder_in_place_of_a_file_is_refused_and_its_schema_not_run(dataset, tmp_path, reads):
    trap, folder = tmp_path / "trap", tmp_path / "dataset" / FILE
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    aside.rename(folder / "part-00000.parquet")
    lay_trap(folder, trap)
    with pytest.raises(UserError, match=r"part-00000\.parquet is no regular file"):
        reads(dataset, tmp_path / "run")
    assert not trap.exists()


@pytest.mark.tensorflow
def test_evaluating_on_a_folder_in_place_of_a_file_is_refused(dataset, tmp_path):
    run = hvdcells.train(dataset, tmp_path / "run", EXPERIMENT, backend=InProcess())
    trap, folder = tmp_path / "trap", tmp_path / "dataset" / TEST_FILE
    folder.unlink()
    folder.mkdir()
    lay_trap(folder, trap)
    with pytest.raises(UserError, match=r"part-00000\.parquet is no regular file"):
        hvdcells.evaluate(run, split="test", backend=InProcess())
    assert not trap.exists()


@pytest.mark.parametrize(
    "name",
    [
        "images",
        "images/split=train",
        "",
        ".",
        "/etc/passwd",
        "../elsewhere/images/split=train/part-00000.parquet",
        "images/split=train/../../../part-00000.parquet",
        "images/split=train/part-00000.parquet\n",
        "images/split=train/part-00000.parquet/",
        "images/split=other/part-00000.parquet",
        "split=train/part-00000.parquet",
        "images/split=train/part-0.parquet",
        "images/split=train/part-00000-NOHEX.parquet",
        "s3://bucket/images/split=train/part-00000.parquet",
    ],
)
def test_a_path_that_is_not_of_our_form_ends_at_the_manifest(dataset, tmp_path, name):
    trap = tmp_path / "trap"
    lay_trap(tmp_path / "dataset/images", trap)
    lay_trap(tmp_path / "dataset/images/split=train", trap)
    rename_in_manifest(tmp_path / "dataset", name)
    with pytest.raises(UserError, match=r"splits\.train\.files\.0\.path"):
        Dataset.open(tmp_path / "dataset")
    assert not trap.exists()


@pytest.mark.parametrize(
    "name", ["images/split=train/part-00000.parquet", f"images/split=test/part-12345-{'0af' * 5}.parquet"]
)
def test_paths_of_our_form_are_taken(dataset, tmp_path, name):
    rename_in_manifest(tmp_path / "dataset", name)
    assert Dataset.open(tmp_path / "dataset").split("train").files[0].path == name


def test_a_link_out_of_the_dataset_is_refused(dataset, tmp_path):
    file = tmp_path / "dataset" / FILE
    file.rename(tmp_path / "elsewhere.parquet")
    file.symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(UserError, match="is a link"):
        read_all(dataset)


def test_a_folder_that_is_a_link_is_refused(dataset, tmp_path):
    (tmp_path / "dataset/images").rename(tmp_path / "elsewhere")
    (tmp_path / "dataset/images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        read_all(dataset)


def test_a_dataset_may_itself_be_reached_by_a_link(dataset, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "dataset")
    assert len(read_all(Dataset.open(tmp_path / "link"))) == 3


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)]
)
def test_what_is_no_file_is_not_waited_for(dataset, tmp_path, make):
    file = tmp_path / "dataset" / FILE
    file.unlink()
    make(file)
    with pytest.raises(UserError, match="is no regular file"):
        read_all(dataset)


def change(folder, **values):
    """Change fields of the manifest; it goes on to add up, so that what is refused is what was changed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if "rows_per_row_group" in values:
        train = manifest["splits"]["train"]
        train["files"][0]["rows_per_row_group"] = rows = values.pop("rows_per_row_group")
        manifest["written"] += sum(rows) - train["images"]
        train |= {"images": sum(rows), "images_per_class": {"hem": sum(rows)}}
        train |= {"images_per_subject": {}, "class_per_subject": {}}
        train["files"][0]["row_group_checksums"] = []  # who writes a hostile dataset writes none, or right ones
    (folder / "manifest.json").write_text(json.dumps({**manifest, **values}))


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"rows_per_row_group": [3_000_000_000]}, "rows_per_row_group.0"),
        ({"rows_per_row_group": [4097]}, "rows_per_row_group.0"),
        ({"rows_per_row_group": [-1]}, "rows_per_row_group.0"),
        ({"image_size": 4097}, "image_size"),
        ({"image_size": -24}, "image_size"),
        ({"rows_per_row_group": [4096], "image_size": 512}, "3.0 GiB"),
    ],
)
def test_a_manifest_that_claims_too_much_is_refused(dataset, tmp_path, values, place):
    change(tmp_path / "dataset", **values)
    with pytest.raises(UserError) as error:
        Dataset.open(tmp_path / "dataset")
    assert place in str(error.value)


def test_the_bounds_of_the_etl_are_read(dataset, tmp_path):
    change(tmp_path / "dataset", rows_per_row_group=[4096], image_size=400)
    assert Dataset.open(tmp_path / "dataset").rows_per_row_group("train") == [4096]


PEAK = """
import resource, sys
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.rank.input.reader import open_reader

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_reader(Dataset.open(sys.argv[1]), "train", [0], input_size=24, num_threads=1) as row_groups:
        next(row_groups)
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("use_dictionary", [True, False], ids=["one value repeated", "compressed zeros"])
def test_a_small_file_that_unfolds_is_refused_before_it_is_read(dataset, tmp_path, use_dictionary):
    file = tmp_path / "dataset" / FILE
    table = pq.read_table(file, partitioning=None)
    image = pa.array([bytes(20 << 20)] * len(table), pa.binary())
    table = table.set_column(table.schema.get_field_index("image"), "image", image)
    pq.write_table(table.slice(0, 8), file, compression="zstd", use_dictionary=use_dictionary)
    change(tmp_path / "dataset", rows_per_row_group=[8])
    assert file.stat().st_size < 20_000
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "dataset")], capture_output=True, text=True, check=True
    )
    *message, grown_mib = done.stdout.splitlines()
    assert "row group 0 holds images of" in message[0]
    assert int(grown_mib) < 80, "the images were unfolded: they are 160 MiB"


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("image_size", [8, 33, 300])
def test_images_that_do_not_compress_are_read(tmp_path, encoding, image_size):
    dataset = write_small_dataset(tmp_path, {"train": [[1], [5]]}, image_size=image_size, encoding=encoding)
    with open_reader(dataset, "train", [0, 1], input_size=image_size, num_threads=1) as row_groups:
        assert [len(np.unique(group.image)) > 100 for group in row_groups] == [True, True]


WHAT_IS_LOADED = """
import sys
from hvdcells.data.dataset import Dataset
from hvdcells.rank.input.reader import open_reader

with open_reader(Dataset.open(sys.argv[1]), "train", [0], input_size=24, num_threads=1) as row_groups:
    next(row_groups)
print("petastorm" in sys.modules, "pyarrow_hotfix" in sys.modules)
"""


def test_reading_loads_the_hotfix_of_pyarrow_and_no_petastorm(dataset, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WHAT_IS_LOADED, str(tmp_path / "dataset")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
