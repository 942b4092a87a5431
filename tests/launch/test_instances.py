"""The table of machines and their prices."""

import json

import pytest

from hvdcells.errors import UserError
from launch.clusters.instances import BUILT_IN, catalogue


def test_built_in_table_has_a_price_on_every_service_for_every_gpu_machine():
    table = catalogue()
    for name, instance in table.instances.items():
        if instance.num_gpus:
            assert instance.gpu, name
            assert instance.gpu_memory_gib > 0, name
            assert table.usd_per_hour(name, "emr") > table.usd_per_hour(name, "ec2") > 0, name
            assert table.usd_per_hour(f"ml.{name}", "sagemaker") > table.usd_per_hour(name, "ec2"), name


def test_spot_lowers_the_machine_and_not_the_surcharge_of_emr():
    table = catalogue()
    machine = table.named("g4dn.xlarge")
    assert table.usd_per_hour("g4dn.xlarge", "emr", spot=True) == pytest.approx(
        machine.ec2_usd * table.spot_fraction + machine.emr_usd
    )


def test_unknown_machine_is_refused_with_those_there_are():
    with pytest.raises(UserError, match=r"x9\.huge[\s\S]*g4dn\.xlarge"):
        catalogue().named("x9.huge")


def test_own_table_replaces_the_built_in_one(tmp_path):
    table = json.loads(BUILT_IN.read_text())
    table["instances"]["g5.xlarge"]["ec2_usd"] = 0.5
    (tmp_path / "prices.json").write_text(json.dumps(table))
    assert catalogue(str(tmp_path / "prices.json")).usd_per_hour("g5.xlarge", "ec2") == 0.5


@pytest.mark.parametrize("text", ["", "{}", '{"as_of": "2025", "region": "x", "instances": {"a": {"vcpus": -1}}}'])
def test_table_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(UserError, match=r"prices\.json"):
        catalogue(str(tmp_path / "prices.json"))
    with pytest.raises(UserError, match=r"none\.json"):
        catalogue(str(tmp_path / "none.json"))
