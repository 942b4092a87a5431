"""An export to be measured without any training: a CNN of the small CNN's layers and size, with random weights."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from hvdcells.inference.exported import EMBEDDING, INPUT, PROBABILITIES, ExportedModel

SIDE = 96
FILTERS = (24, 48, 96, 128)


def write_export(folder: Path, side: int = SIDE, seed: int = 0) -> Path:
    """Write an export of a CNN with random weights; its sizes and its work are those of a trained one."""
    folder.mkdir(parents=True, exist_ok=True)
    content = _onnx(side, np.random.default_rng(seed))
    (folder / "model.onnx").write_bytes(content)
    zeros = "0" * 64
    described = ExportedModel.model_validate(
        {
            "format": "onnx",
            "preparation": {"crop": 0, "image_size": side, "input_size": side},
            "decision": {
                "class_names": ("hem", "all"),
                "positive_classes": ("all",),
                "temperature": 1.0,
                "thresholds": {"0.5": 0.5},
                "chosen": "0.5",
                "refer": (0.45, 0.55),
                "subject_rule": "mean",
            },
            "embedding_size": FILTERS[-1],
            "backbone": "small_cnn",
            "synthetic": True,
            "digests": {"run": zeros, "model": zeros, "dataset": zeros, "file": hashlib.sha256(content).hexdigest()},
            "versions": {"hvdcells": version("hvdcells")},
            "first_weights": None,
            "scores": {},
        }
    )
    (folder / "model.json").write_text(json.dumps(described.model_dump(mode="json")))
    return folder


def _onnx(side: int, rng: np.random.Generator) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "largest"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    weights = {"largest": np.array(255.0, np.float32)}
    before, channels = "x0", 3
    for block, filters in enumerate(FILTERS, start=1):
        weights[f"w{block}"] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (filters, channels, 3, 3)).astype(np.float32)
        weights[f"b{block}"] = np.zeros(filters, np.float32)
        convolution = helper.make_node(
            "Conv", [before, f"w{block}", f"b{block}"], [f"c{block}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]
        )
        nodes += [
            convolution,
            helper.make_node("Relu", [f"c{block}"], [f"r{block}"]),
            helper.make_node("MaxPool", [f"r{block}"], [f"x{block}"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        before, channels = f"x{block}", filters
    weights["head"] = rng.normal(0, 0.1, (channels, 2)).astype(np.float32)
    nodes += [
        helper.make_node("ReduceMean", [before], [EMBEDDING], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", [EMBEDDING, "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [PROBABILITIES], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "small_cnn",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", side, side, 3])],
        [
            helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["n", channels]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def cells(number: int, side: int = 450) -> list[bytes]:
    """Return PNG files of ellipses on black, as large as C-NMC's cells."""
    rng = np.random.default_rng(1)
    files = []
    for _ in range(number):
        image = np.zeros((side, side, 3), np.uint8)
        axes, angle = rng.integers(80, 160, 2).tolist(), float(rng.uniform(0, 180))
        cv2.ellipse(image, (side // 2, side // 2), axes, angle, 0, 360, rng.integers(60, 220, 3).tolist(), -1)
        noise = rng.integers(-20, 20, image.shape)
        image = np.where(image.any(axis=2, keepdims=True), np.clip(image + noise, 1, 255), 0).astype(np.uint8)
        files.append(cv2.imencode(".png", image)[1].tobytes())
    return files
