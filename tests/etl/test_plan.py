"""What is told before Spark is needed."""

import pytest

from etl.options import EtlOptions
from etl.plan import plan_etl
from hvdcells.errors import UserError
from tests.etl.cells import cell, write_image


@pytest.fixture
def classes(tmp_path):
    """Two class folders with four cells each."""
    for number in range(8):
        write_image(tmp_path / "source" / ("malignant", "benign")[number % 2] / f"p{number}_1.png", cell(number))
    return tmp_path / "source"


def test_where_no_image_can_be_used_the_reason_that_was_counted_is_told(classes, tmp_path):
    with pytest.raises(UserError) as error:
        plan_etl(classes, tmp_path / "dataset", EtlOptions.of(subject_pattern=r"patient-(\d+)"))
    assert "none of the 8 images can be used: 8 × --subject-pattern finds no subject in its path" in error.value.given
    assert "training data" not in error.value.remedy
    assert not (tmp_path / "dataset").exists()


def test_a_table_of_files_that_are_nowhere_says_so(tmp_path):
    lines = [f"elsewhere/{number}.png,{'benign' if number % 2 else 'malignant'}" for number in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    with pytest.raises(UserError, match="none of the 6 images can be used: 6 × file not found"):
        plan_etl(tmp_path / "table.csv", tmp_path / "dataset")
