"""A manifest that contradicts itself, or says what cannot be, is refused before anything is read by it."""

import json

import pytest

from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from tests.small_dataset import write_small_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[4, 4], [4]], "validation": [[4]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups, num_folds=2)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("splits", "train", "images"), -7),
        (("splits", "train", "images"), 13),
        (("splits", "train", "images_per_class", "all"), -1),
        (("splits", "train", "images_per_class"), {"other": 12}),
        (("splits", "train", "images_per_subject"), {"one": 13}),
        (("splits", "train", "class_per_subject"), {}),
        (("splits", "train", "files", 0, "rows_per_row_group"), [3_000_000_000]),
        (("splits", "train", "files", 0, "rows_per_row_group"), [4, 4, 4]),
        (("splits", "train", "files", 0, "path"), "images"),
        (("splits", "train", "files", 1, "path"), "images/split=train/part-00000.parquet"),
        (("splits", "train", "images_per_fold"), {"0": 10**9}),
        (("splits", "others"), {"images": 0}),
        (("channel_mean",), [float("nan"), 1, 1]),
        (("channel_mean",), [float("inf"), 1, 1]),
        (("channel_mean",), [1, 1]),
        (("channel_mean",), [-1, 0, 0]),
        (("channel_std",), [-1, 1, 1]),
        (("channel_std",), [1e300, 1, 1]),
        (("folds", "0", "channel_mean"), [256, 0, 0]),
        (("image_size",), 10**9),
        (("image_size",), 0),
        (("written",), 5),
        (("listed",), -1),
        (("rejected",), {"reason": -1}),
        (("leakage", "num_groups"), -1),
        (("class_names",), ["hem"]),
        (("class_names",), ["hem", "other"]),
    ],
)
def test_what_cannot_be_is_refused(dataset, tmp_path, path, value):
    said = json.loads(dataset.manifest.to_json())
    inner = said
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match="is not a manifest that this version reads"):
        Dataset.open(tmp_path)
