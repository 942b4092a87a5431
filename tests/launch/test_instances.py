"""The table of machines and their prices."""

import json

import pytest

from hvdcells.errors import UserError
from launch.clusters.instances import BUILT_IN, catalogue


def test_every_price_and_size_of_the_built_in_table_names_where_it_was_found():
    table = catalogue()
    for name, machine in table.instances.items():
        priced = {field for field in ("ec2_usd", "emr_usd", "sagemaker_usd") if getattr(machine, field) is not None}
        assert set(machine.sources) == {"sizes", *priced}, name
        assert set(machine.sources.values()) <= set(table.sources), name
    assert {table.spot_source, table.ebs_source} <= set(table.sources)
    assert all(any(character.isdigit() for character in text) or "AWS" in text for text in table.sources.values())


def test_sizes_of_the_built_in_table_are_those_that_ec2_tells():
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    for name, machine in catalogue().instances.items():
        told = INSTANCE_TYPES[name]
        assert machine.vcpus == told["VCpuInfo"]["DefaultVCpus"], name
        assert machine.memory_gib * 1024 == told["MemoryInfo"]["SizeInMiB"], name
        gpus = told.get("GpuInfo", {"Gpus": []})["Gpus"]
        assert (machine.num_gpus, machine.gpu) == ((gpus[0]["Count"], gpus[0]["Name"]) if gpus else (0, None)), name


def test_machines_that_aws_has_given_up_are_not_in_the_table_and_today_s_are():
    families = {name.split(".")[0] for name in catalogue().instances}
    assert "p3" not in families
    assert {"g4dn", "g5", "g6", "g6e", "p4d", "p5", "p5e", "p5en", "p6-b200"} <= families


def test_spot_lowers_the_machine_and_not_the_surcharge_of_emr():
    table = catalogue()
    machine, (least, most) = table.named("g4dn.xlarge"), table.spot_fractions
    price = table.known_usd_per_hour("g4dn.xlarge", "emr", spot=True)
    assert price.least == pytest.approx(machine.ec2_usd * least + machine.emr_usd)
    assert price.most == pytest.approx(machine.ec2_usd * most + machine.emr_usd)
    assert not price.missing


def test_a_part_of_a_price_that_has_no_source_is_named_and_nothing_is_made_up():
    table = catalogue()
    assert table.known_usd_per_hour("g6.xlarge", "emr").missing == ("EMR's surcharge of g6.xlarge",)
    assert table.known_usd_per_hour("p5e.48xlarge", "emr") == (
        0.0,
        0.0,
        ("EC2's price of p5e.48xlarge", "EMR's surcharge of p5e.48xlarge"),
    )
    assert table.usd_per_hour("g6.xlarge", "emr") is None
    assert table.usd_per_hour("g6.xlarge", "ec2") == table.named("g6.xlarge").ec2_usd


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
