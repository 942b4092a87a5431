import subprocess
import sys

import pytest

from hvdcells.errors import UserError
from hvdcells.images.prepare import ImagePreparation
from hvdcells.inference.exported import Digests, ExportedModel, FirstWeights, Score, read_exported
from tests.hvdcells.inference.made import decision_of


def described(**changes):
    return ExportedModel(
        **{
            "format": "onnx",
            "preparation": ImagePreparation(crop=0, image_size=8, input_size=8),
            "decision": decision_of(("hem", "all")),
            "embedding_size": 4,
            "backbone": "small_cnn",
            "synthetic": True,
            "digests": Digests(run="r", model="m", dataset="d", file="f"),
            "versions": {"hvdcells": "1"},
            "first_weights": FirstWeights(name="imagenet", licence="Apache-2.0"),
            "scores": {"test": {"weighted_f1": Score(value=0.9, low=0.8, high=1.0)}},
            **changes,
        }
    )


def test_a_description_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "model.json").write_text(described().model_dump_json())
    assert read_exported(tmp_path) == described()
    assert described().class_names == ("hem", "all")


def test_a_folder_that_is_no_export_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model\.json is not there"):
        read_exported(tmp_path)
    (tmp_path / "model.json").write_text(described().model_dump_json())
    with pytest.raises(UserError, match=r"model\.onnx is not in"):
        read_exported(tmp_path)
    text = described().model_dump_json().replace('"format_version":1', '"format_version":2')
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json is not what this version reads: format_version=2"):
        read_exported(tmp_path)


def test_reading_an_export_needs_neither_tensorflow_nor_pyarrow_nor_pandas():
    heavy = ("tensorflow", "pyspark", "pyarrow", "pandas", "scipy", "horovod")
    code = f"import sys, hvdcells.inference.exported; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
