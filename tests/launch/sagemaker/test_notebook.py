"""The notebook, run whole in its local mode."""

import io
import re
import zipfile
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[3] / "launch" / "notebooks" / "sagemaker.ipynb"


def arrays(model):
    """By name the rank and the bytes of all arrays of a Keras file."""
    import h5py

    found = {}
    with zipfile.ZipFile(model) as packed, h5py.File(io.BytesIO(packed.read("model.weights.h5"))) as weights:
        weights.visititems(
            lambda name, item: found.update({name: (item.ndim, item[()].tobytes())}) if hasattr(item, "ndim") else None
        )
    return found


def test_it_is_kept_without_outputs():
    import nbformat

    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow(seconds=60)
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
    work = tmp_path / "work"
    # The head alone was trained: the kernels of the backbone are those of the earlier run.
    earlier, frozen = (arrays(work / run / "model.keras") for run in ("earlier-run", "frozen"))
    assert {name for name, (rank, _) in earlier.items() if rank == 4}
    assert {name for name, (rank, _) in frozen.items() if rank == 4 and frozen[name] != earlier[name]} == set()
    assert frozen != earlier
    assert len(list(work.glob("tuned/*/*/finished.json"))) == 2
    assert len(list(work.glob("tuned/*/*/evaluation/test.json"))) == 1  # the best one's
    for model in work.glob("tuned/*/*/model.keras"):  # all of it was trained
        tuned = arrays(model)
        assert not {name for name, (rank, _) in tuned.items() if rank == 4 and tuned[name] == frozen[name]}
    assert not list(work.glob("opt-ml/*/output/failure"))
