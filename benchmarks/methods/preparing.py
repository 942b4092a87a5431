"""What all methods are given: the images of each split as arrays, the network's description, its first weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hvdcells.data.columns import SPLITS
from hvdcells.data.dataset import Dataset
from hvdcells.experiment import REFERENCE_GLOBAL_BATCH, Augmentation, Data, Experiment, Optimizer, Training
from hvdcells.rank.input.decoder import RowGroupDecoder

LAYER_OPTIONS = {
    "Normalization": ("mean", "variance"),
    "Conv2D": ("filters", "kernel_size", "padding", "use_bias"),
    "BatchNormalization": ("momentum", "epsilon"),
    "ReLU": (),
    "MaxPooling2D": (),
    "GlobalAveragePooling2D": (),
    "Dropout": ("rate",),
    "Dense": ("units",),
}
"""The kinds of layers of the small CNN, and what their description holds."""


def experiment_of(settings: Any) -> Experiment:
    """Return the experiment with the settings of all methods: a constant rate, no augmentation, no class weights."""
    global_batch = settings.batch_per_worker * settings.workers
    rate = settings.learning_rate * REFERENCE_GLOBAL_BATCH / global_batch
    return Experiment(
        name="methods",
        seed=settings.seed,
        data=Data(batch_size=settings.batch_per_worker),
        optimizer=Optimizer(name="adam", learning_rate=rate, warmup_epochs=0, schedule="constant"),
        augmentation=Augmentation(flips=False, quarter_turns=False),
        training=Training(epochs=settings.epochs, class_weights="none", select="last"),
    )


def prepare(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the folder that adapters are handed as a `Task`. It takes TensorFlow: call it in a process of its own."""
    from benchmarks.methods.adapters.task import Task
    from hvdcells.spark.backends.entry import import_tensorflow

    import_tensorflow()
    from hvdcells.rank.models import build_model

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(dict(settings)))
    dataset = Dataset.open(settings["dataset"])
    manifest = dataset.manifest
    for split in SPLITS:
        images, labels = _arrays(dataset, split)
        np.save(folder / f"{split}-images.npy", images)
        np.save(folder / f"{split}-labels.npy", labels)
        sources = dataset.read_rows(split, ["source"])["source"].tolist()
        (folder / f"{split}-sources.json").write_text(json.dumps(sources))
    experiment = experiment_of(Task(str(folder)))
    channels = manifest.channel_mean, manifest.channel_std
    model = build_model(experiment.model, manifest.image_size, *channels, experiment.seed)
    layers, weights = with_one_logit(describe(model), model.get_weights())
    (folder / "network.json").write_text(json.dumps(layers))
    np.savez(folder / "weights.npz", **{str(number): value for number, value in enumerate(weights)})


def with_one_logit(
    layers: list[dict[str, Any]], weights: list[np.ndarray]
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return the network with the difference of its two logits in their place, which a sigmoid takes.

    The softmax of (a, b) gives the second class the sigmoid of b − a: outputs and loss are the same. All methods know
    the losses of two classes by that, and not each of them another one.
    """
    *before, kernel, bias = weights
    one = [np.diff(kernel, axis=1), np.diff(bias)]
    return [*layers[:-1], {**layers[-1], "units": 1}], [*before, *one]


def describe(model: Any) -> list[dict[str, Any]]:
    """Return the layers of the small CNN in order, as plain data: `kind` and its `LAYER_OPTIONS`."""
    from hvdcells.rank.models.either_keras import inner_layers

    described = []
    for layer in inner_layers(model):
        kind, config = type(layer).__name__, layer.get_config()
        if kind != "InputLayer":
            described.append({"kind": kind, **{name: _plain(config[name]) for name in LAYER_OPTIONS[kind]}})
    return described


def _arrays(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet as pq
    import pyarrow_hotfix  # noqa: F401 - closes CVE-2023-47248, before any Parquet is read

    manifest = dataset.manifest
    decoder = RowGroupDecoder(manifest.image_size, manifest.image_encoding, manifest.image_size)
    images, labels = [], []
    for file in dataset.split(split).files:
        table = pq.ParquetFile(f"{dataset.location}/{file.path}").read(columns=["image", "label"])
        images.append(decoder.decode(table["image"], file.path))
        labels.append(table["label"].to_numpy())
    return np.concatenate(images), np.concatenate(labels)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist()
