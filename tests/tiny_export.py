"""An export without any training: a model of three nodes, which calls an image by its colour."""

import hashlib
import json
from pathlib import Path

import numpy as np

from hvdcells.scores.image_range import ImageRange, Spread

SIDE = 32
CLASSES = ("hem", "all")
EMBEDDING_SIZE = 3


def tiny_model(classes=CLASSES) -> bytes:
    """Return ONNX whose embedding is the mean of each channel in 0–1, and whose first logits are its products."""
    import onnx
    from onnx import TensorProto, helper

    weights = np.zeros((3, len(classes)), np.float32)
    weights[0, -1], weights[2, 0] = 8.0, 8.0  # red is of the last class, blue of the first
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["sums"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["sums", "largest"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(classes)]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", EMBEDDING_SIZE]),
        ],
        [
            helper.make_tensor("largest", TensorProto.FLOAT, [], [255.0]),
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def image_range() -> dict:
    """Return a range by the mean colour alone: white is out of it, red and blue are not."""
    means = np.array([[130.0] * 3 + [30.0] * 3])
    colors = Spread(means=means, axes=np.eye(3, 6), variances=np.full(3, 55.0**2), rest=1e6, limit=3.2)
    return ImageRange(images=200, colors=colors, features=None).model_dump(mode="json")


def described(content: bytes, classes=CLASSES, **changed) -> dict:
    """Return what `model.json` says of a model."""
    decision = {
        "class_names": list(classes),
        "positive_classes": [classes[-1]],
        "temperature": 1.0,
        "thresholds": {"0.5": 0.5},
        "chosen": "0.5",
        "refer": [0.3, 0.7],
        "subject_rule": "mean",
    }
    return {
        "format": "onnx",
        "preparation": {"crop": 0, "image_size": SIDE, "input_size": SIDE},
        "decision": decision,
        "embedding_size": EMBEDDING_SIZE,
        "backbone": "tiny",
        "synthetic": True,
        "digests": {
            "run": "0" * 64,
            "model": "1" * 64,
            "dataset": "2" * 64,
            "file": hashlib.sha256(content).hexdigest(),
        },
        "versions": {"hvdcells": "0.2.0"},
        "first_weights": None,
        "scores": {},
        "range": image_range(),
        **changed,
    }


def write_tiny_export(folder: Path, **changed) -> Path:
    """Write an export as `hvdcells export` does; `changed` are fields of model.json."""
    folder.mkdir(parents=True, exist_ok=True)
    content = tiny_model()
    (folder / "model.onnx").write_bytes(content)
    (folder / "model.json").write_text(json.dumps(described(content, **changed)))
    (folder / "card.md").write_text("# tiny\n")
    return folder
