import json

import pytest

from hvdcells.data.manifest import Manifest
from hvdcells.errors import UserError
from tests.small_dataset import write_small_dataset


@pytest.fixture
def described(tmp_path):
    """A manifest as it stands in its file."""
    return json.loads(write_small_dataset(tmp_path / "dataset", {"train": [[4]]}).manifest.to_json())


def read(described, **changes):
    return Manifest.from_json(json.dumps(described | changes), "manifest.json")


def test_of_two_classes_label_1_counts_as_ill_also_where_an_older_manifest_does_not_say(described):
    assert described["positive_classes"] == ["all"]
    del described["positive_classes"]
    assert read(described).positive_classes == ("all",)
    assert read(described, class_names=["all", "hem"]).positive_classes == ("hem",)


def test_of_more_classes_none_counts_as_ill_unless_said(described):
    names = ["benign", "early", "pre", "pro"]
    described["splits"]["train"] |= {"images_per_class": {"pre": 4}, "images_per_subject": {}, "class_per_subject": {}}
    said = read(described, class_names=names, positive_classes=["early", "pro"])
    assert Manifest.from_json(said.to_json(), "").positive_classes == ("early", "pro")
    assert read(described, class_names=names, positive_classes=[]).positive_classes == ()
    del described["positive_classes"]
    assert read(described, class_names=names).positive_classes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["hem"], "positive_classes": []}, "class_names"),
        ({"class_names": ["hem", "hem"], "positive_classes": []}, "not unique"),
        ({"positive_classes": ["blast"]}, "positive classes blast"),
        ({"positive_classes": ["hem", "all"]}, "not all, of the classes"),
    ],
)
def test_classes_that_make_no_sense_are_refused(described, changes, message):
    with pytest.raises(UserError, match=message):
        read(described, **changes)
