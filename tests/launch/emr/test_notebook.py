"""The EMR notebook, run as it is on a local Spark."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from launch.cli import app
from tests.launch.emr.test_requests import PLACES, dry_run

NOTEBOOK = Path(__file__).parents[3] / "launch" / "notebooks" / "emr.ipynb"
SHORT = {"training.epochs": 2, "data.input_size": 48, "data.batch_size": 8, "model.width": 0.5}


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_its_first_cell_gives_the_session_the_settings_of_a_launch_s_steps():
    """Made by one function; what the notebook shows, the command prints and the request holds is compared."""
    machines = ["--gpus", "4", "--instance", "g4dn.xlarge"]
    printed = CliRunner().invoke(app, ["launch", "emr", *machines, "--notebook-cell"]).stdout
    shown = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    assert f"```\n{printed}```" in shown
    cell = json.loads(printed.removeprefix("%%configure -f\n"))["conf"]
    request = dry_run(*PLACES, *machines)["request"]
    words = request["Steps"][1]["HadoopJarStep"]["Args"]
    step = dict(words[number + 1].split("=", 1) for number, word in enumerate(words) if word == "--conf")
    assert cell.items() - step.items() == {("spark.pyspark.virtualenv.enabled", "false")}
    assert step.items() <= cell.items()
    python = "/opt/hvdcells/bin/python"
    assert cell["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == cell["spark.executorEnv.PYSPARK_PYTHON"] == python


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow(seconds=40)
def test_the_notebook_goes_from_images_to_scores(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    [number] = [number for number, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    given = f"IMAGE_SIZE, SUBJECTS, IMAGES_PER_SUBJECT, CHANGES = 48, 8, 6, {SHORT}"
    given += f"\nPLACE = {str(tmp_path / 'place')!r}"
    notebook.cells.insert(number + 1, nbformat.v4.new_code_cell(given))
    done = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    done.execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "2 workers, 2 epochs" in printed
    assert "8 subjects, each in one split" in printed
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    names = {path.stem for path in (tmp_path / "place" / "figures").glob("*.png")}
    assert {"loss", "scores", "speed", "confusion"} <= names
    assert len(pictures) == len(names)
    assert (tmp_path / "place" / "run" / "report.html").is_file()
    assert (tmp_path / "place" / "run" / "evaluation" / "test.json").is_file()
