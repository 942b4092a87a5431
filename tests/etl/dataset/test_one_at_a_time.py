"""Two runs on one location: the second is refused while the first works, or where it has changed what is there."""

import json
from unittest.mock import Mock

import pytest

from etl.dataset import work_folder
from etl.options import EtlOptions
from etl.pipeline import carry_out, run_etl
from etl.plan import plan_etl
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.lock import OWNER_NAME, sole_owner

OPTIONS = EtlOptions.of(image_size=16, crop=40)


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_is_refused_while_one_works(source, tmp_path):
    dataset = tmp_path / "dataset"
    planned = plan_etl(source, dataset, OPTIONS)
    with sole_owner(str(dataset)):
        with pytest.raises(UserError, match="is working on"):
            plan_etl(source, dataset, EtlOptions.of(image_size=32))
        with pytest.raises(UserError, match="is working on"):  # it was planned before the other began
            carry_out(Mock(spec=[]), planned)
        assert [path.name for path in dataset.iterdir()] == [OWNER_NAME]
    assert not dataset.exists()


def test_a_dead_owner_does_not_keep_the_next_run_away(source, tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    dead = {"token": "0", "host": "elsewhere", "pid": 1, "process_began": 0, "renewed": 0}
    (dataset / OWNER_NAME).write_text(json.dumps(dead))
    plan = plan_etl(source, dataset, OPTIONS)
    with work_folder.owned(str(dataset), plan.found):
        pass
    assert list(dataset.iterdir()) == []


@pytest.mark.spark
def test_a_run_that_was_planned_before_another_ended_replaces_nothing(spark, source, tmp_path):
    dataset = tmp_path / "dataset"
    planned = plan_etl(source, dataset, OPTIONS.model_copy(update={"image_size": 32}))
    run_etl(spark, source, dataset, OPTIONS)
    before = everything(dataset)
    assert not (dataset / OWNER_NAME).exists()
    with pytest.raises(UserError, match="has changed since this command looked at it"):
        carry_out(spark, planned)
    assert everything(dataset) == before
    assert Dataset.open(dataset).manifest.image_size == 16
