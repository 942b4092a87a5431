"""A folder that somebody has prepared: nothing behind a link, and nothing of somebody else's, is written or deleted."""

import json

import pytest

from etl.dataset.work_folder import OURS, REJECTS_FOLDER, WORK_FOLDER, look, remove_other_images
from etl.options import EtlOptions
from etl.plan import plan_etl
from etl.shards.findings import SHARDS_FOLDER
from hvdcells.data.manifest import IMAGES_FOLDER
from hvdcells.errors import UserError

FOLDERS = (WORK_FOLDER, SHARDS_FOLDER, IMAGES_FOLDER, REJECTS_FOLDER)
OPTIONS = {"layout": "cnmc", "image_size": 16}


def leave_unfinished(dataset, source, **options):
    (dataset / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
    whole = EtlOptions.of(**{**OPTIONS, "split": "official", "crop": 300, **options}).model_dump(mode="json")
    run = {"source": str(source), "options": whole}
    (dataset / WORK_FOLDER / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_link_in_place_of_our_own_is_refused_and_what_is_behind_it_stays(tmp_path, source, name):
    precious = tmp_path / "elsewhere"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / name).symlink_to(precious)
    if name != WORK_FOLDER:
        leave_unfinished(dataset, source)
    with pytest.raises(UserError, match="is a link"):
        plan_etl(source, dataset, EtlOptions.of(**OPTIONS))
    assert (precious / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_inside_our_own_folder_is_refused(tmp_path, source, folder):
    dataset = tmp_path / "dataset"
    leave_unfinished(dataset, source)
    (dataset / folder).mkdir(exist_ok=True)
    (dataset / folder / "split=train").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a link"):
        look(str(dataset))


def test_only_what_this_stage_has_written_is_deleted(tmp_path):
    images = tmp_path / IMAGES_FOLDER / "split=train"
    images.mkdir(parents=True)
    ours = ["part-00000.parquet", "part-00001-0af3.parquet", ".0af3"]
    foreign = ["thesis.tex", "part-1.parquet", "notes/part-00000.parquet"]
    (images / "notes").mkdir()
    for name in ours + foreign:
        (images / name).write_text("1")
    remove_other_images(str(tmp_path), [])
    left = sorted(str(path.relative_to(images)) for path in images.rglob("*") if path.is_file())
    assert left == sorted(foreign)


def test_an_unfinished_run_of_another_source_or_other_options_is_not_taken_up(tmp_path, source):
    dataset = tmp_path / "dataset"
    leave_unfinished(dataset, source)
    plan_etl(source, dataset, EtlOptions.of(**OPTIONS, max_rejects=0.5))  # a limit is no part of what is made
    with pytest.raises(UserError, match=r"begun with image_size=16 \(asked for: 24\)"):
        plan_etl(source, dataset, EtlOptions.of(layout="cnmc", image_size=24))
    leave_unfinished(dataset, tmp_path / "another")
    with pytest.raises(UserError, match="begun with source="):
        plan_etl(source, dataset, EtlOptions.of(**OPTIONS))


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1}', "{"])
def test_what_is_no_account_of_a_run_is_refused(tmp_path, text):
    (tmp_path / WORK_FOLDER).mkdir()
    (tmp_path / WORK_FOLDER / "run.json").write_text(text)
    with pytest.raises(UserError, match="is not what an unfinished run leaves"):
        look(str(tmp_path))


def test_a_dataset_inside_its_source_by_way_of_a_link_is_refused(tmp_path, source):
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UserError, match="one within the other"):
        plan_etl(source, tmp_path / "link" / "dataset", EtlOptions.of(**OPTIONS))
