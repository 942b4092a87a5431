"""The notebook, run whole in its local mode."""

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[3] / "launch" / "notebooks" / "sagemaker.ipynb"


def test_it_is_kept_without_outputs():
    import nbformat

    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.spark
def test_it_goes_from_images_to_a_tuned_model(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("HVDCELLS_NOTEBOOK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    texts = ["".join(each.get("text", "") for each in cell.get("outputs", [])) for cell in notebook.cells]
    printed = "\n".join(texts)
    assert "SYNTHETIC" in printed
    assert re.search(r"On SageMaker: about [\d.]+ USD per hour", printed)
    scores = dict(
        re.findall(r"^(frozen backbone|tuned): weighted F1 ([01]\.\d{4}) on \d+ images$", printed, re.MULTILINE)
    )
    assert set(scores) == {"frozen backbone", "tuned"}
    runs = tmp_path / "work"
    # The first epochs have trained the head alone: the backbone is that of the earlier run.
    assert (runs / "frozen" / "finished.json").is_file()
    assert len(list((runs / "tuned").glob("*/*/finished.json"))) == 2
    assert (
        not list((runs / "tuned").glob("*/*/evaluation/test.json"))
        or len(list((runs / "tuned").glob("*/*/evaluation/test.json"))) == 1
    )  # the best one alone was judged
    assert not list((runs / "opt-ml").glob("*/output/failure"))
