"""What a folder of runs is refused to be gone on with."""

import pytest

from hvdcells.driver.runs_folder import RunsFolder, plan_of
from hvdcells.errors import UserError
from hvdcells.experiment import recipes
from tests.small_dataset import write_small_dataset

EXPERIMENT = recipes.small_cnn()
GROUPS = {"train": [[8, 8]], "validation": [[8]]}


@pytest.fixture
def planned(tmp_path):
    """A folder whose runs were planned for a dataset."""
    folder = RunsFolder.at(tmp_path / "runs", "sweep.json")
    folder.write({"plan": plan_of(write_small_dataset(tmp_path / "dataset", GROUPS), EXPERIMENT, trials=[{}])})
    return folder


def test_the_same_plan_goes_on(planned, tmp_path):
    planned.check(plan_of(write_small_dataset(tmp_path / "dataset", GROUPS), EXPERIMENT, trials=[{}]))


@pytest.mark.parametrize(
    "changed", [{"image_size": 32}, {"rows_per_row_group": {**GROUPS, "train": [[8, 9]]}}], ids=["pixels", "images"]
)
def test_a_dataset_written_anew_at_its_place_is_another_one(planned, tmp_path, changed):
    rewritten = write_small_dataset(tmp_path / "dataset", **{"rows_per_row_group": GROUPS, **changed})
    with pytest.raises(UserError, match=r"planned otherwise \(dataset_digest"):
        planned.check(plan_of(rewritten, EXPERIMENT, trials=[{}]))


def test_a_folder_of_an_earlier_version_is_refused_in_words(planned, tmp_path):
    plan = plan_of(write_small_dataset(tmp_path / "dataset", GROUPS), EXPERIMENT, trials=[{}])
    kept = {**plan, "listing_digest": "0" * 64}
    del kept["dataset_digest"]
    planned.write({"plan": kept})
    with pytest.raises(UserError, match=r"(?s)earlier version.*name another folder"):
        planned.check(plan)
