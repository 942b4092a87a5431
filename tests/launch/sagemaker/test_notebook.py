"""The notebook, run whole in its local mode."""

import io
import re
import zipfile
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[3] / "launch" / "notebooks" / "sagemaker.ipynb"


def kernels(model):
    """By name the bytes of all kernels of convolutions in a Keras file."""
    import h5py

    found = {}
    with zipfile.ZipFile(model) as packed, h5py.File(io.BytesIO(packed.read("model.weights.h5"))) as weights:
        weights.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if getattr(item, "ndim", 0) == 4 else None
        )
    return found


def imagenet_kernels():
    """The bytes of all kernels of convolutions in the package of weights, as Keras lays them out."""
    from hvdcells.rank.models.lite_weights import read_source, source_file

    found = set()
    for name, array in read_source(source_file()).items():
        if array.ndim == 4:
            found.add(array.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0)).tobytes())
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
    assert "These images are synthetic" in printed
    assert re.search(r"On SageMaker: about [\d.]+ USD per hour", printed)
    scores = dict(
        re.findall(r"^(frozen backbone|tuned): weighted F1 ([01]\.\d{4}) on \d+ images$", printed, re.MULTILINE)
    )
    assert set(scores) == {"frozen backbone", "tuned"}
    work = tmp_path / "work"
    # The head alone was trained: the backbone's kernels are ImageNet's.
    frozen, imagenet = kernels(work / "frozen" / "model.keras"), imagenet_kernels()
    assert set(frozen.values()) == imagenet
    assert len(list(work.glob("tuned/*/*/finished.json"))) == 2
    assert len(list(work.glob("tuned/*/*/evaluation/test.json"))) == 1  # the best one's
    for model in work.glob("tuned/*/*/model.keras"):  # the last two stages and the top were trained as well
        tuned = set(kernels(model).values())
        assert len(tuned) == len(imagenet)
        assert len(tuned - imagenet) == 4 * 3 + 3 + 1
    assert not list(work.glob("opt-ml/*/output/failure"))
