"""Which images of an evaluation are explained, and their pictures."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.data.dataset import Dataset
from hvdcells.images.decode import Pixels
from hvdcells.images.overlay import encoded, strip
from hvdcells.rank.heat_maps import Maps, NoFeatureMapError, grad_cam, occlusion
from hvdcells.rank.input.chosen_rows import read_chosen
from hvdcells.rank.models.averaged import mean_of_logits, of_two_classes
from hvdcells.runs.explanations import MOST_IMAGES, Explained, Explanations, Kind, Panel
from hvdcells.scores.prediction_table import class_probabilities
from hvdcells.scores.scorer import called

if TYPE_CHECKING:
    import pandas as pd

PANEL_PIXELS = 96
MOST_OCCLUDED = 8
"""Images of which occlusion is made too: it takes 65 predictions for each."""
AT_ONCE = 16
"""Images through the model at once, with all that its gradients need."""


def explained_rows(labels: NDArray[np.int_], probabilities: NDArray[np.float64]) -> list[tuple[int, Kind]]:
    """Choose images to explain: of each class the worst and the surest, as many of both.

    Args:
        labels: of all images.
        probabilities: of each class, (images, classes).

    Returns:
        Rows with `worst` or `surest`, class by class from the last; at most `MOST_IMAGES`, and no image twice.
    """
    own, num_classes = probabilities[np.arange(len(labels)), labels], probabilities.shape[1]
    each = max(1, min(4, MOST_IMAGES // (2 * num_classes)))
    ranked = np.argsort(own, kind="stable")
    chosen: list[tuple[int, Kind]] = []
    for label in reversed(range(num_classes)):
        members = ranked[labels[ranked] == label].tolist()
        chosen += [(row, "worst") for row in members[:each]]
        chosen += [(row, "surest") for row in reversed(members[each:][-each:])]
    return chosen[:MOST_IMAGES]


def explain(models: Sequence[Any], predictions: "pd.DataFrame", dataset: Dataset, split: str) -> Explanations:
    """Explain some images of a split: why each is called what it is called.

    Args:
        models: one, or those of an ensemble, whose maps are averaged.
        predictions: of all images of the split, in the order of the manifest.
        dataset: where the images are.
        split: name of the split.
    """
    labels = predictions["label"].to_numpy()
    probabilities = class_probabilities(predictions, dataset.manifest.class_names)
    calls, chosen = called(probabilities), explained_rows(labels, probabilities)
    rows = [row for row, _ in chosen]
    read = read_chosen(dataset, split, rows, models[0].input_shape[1])
    images = np.stack([read[row] for row in rows])
    maps, layer, because = grad_cams(models, images, calls[rows])
    kinds = [(labels[row], kind) for row, kind in chosen]
    occluded = [at for at, kind in enumerate(kinds) if kind not in kinds[:at]][:MOST_OCCLUDED]
    covered = dict(zip(occluded, occlusions(models, images[occluded], calls[rows][occluded]), strict=True))
    found = []
    for at, (row, kind) in enumerate(chosen):
        shown: dict[Panel, NDArray[np.float32]] = {} if maps is None else {"Grad-CAM": maps[at]}
        if at in covered:
            shown["occlusion"] = covered[at]
        picture = encoded(strip(images[at], list(shown.values()), PANEL_PIXELS), ".jpg")
        found.append(
            Explained(
                image_id=predictions["image_id"][row],
                kind=kind,
                label=int(labels[row]),
                called=int(calls[row]),
                probability=float(probabilities[row, labels[row]]),
                strip=base64.b64encode(picture).decode("ascii"),
                panels=("image", *shown),
            )
        )
    return Explanations(layer=layer, no_layer_because=because, images=tuple(found))


def grad_cams(
    models: Sequence[Any], images: Pixels, labels: NDArray[np.int_]
) -> tuple[Maps | None, str | None, str | None]:
    """Return the mean Grad-CAM over models, (n, size, size), and the layer; or neither, and why."""
    parts, layer = [], None
    try:
        for start in range(0, len(images), AT_ONCE):
            here = slice(start, start + AT_ONCE)
            made = [grad_cam(model, images[here], labels[here].tolist()) for model in models]
            parts.append(np.mean([maps for maps, _ in made], axis=0))
            layer = made[0][1]
    except NoFeatureMapError as error:
        return None, None, str(error)
    return np.concatenate(parts), layer, None


def occlusions(models: Sequence[Any], images: Pixels, labels: NDArray[np.int_]) -> Maps:
    """Return the occlusion maps of the models' mean, (n, size, size)."""

    def forward(given: Pixels) -> NDArray[np.float32]:
        covered = tf.cast(given, tf.float32)
        looks = [of_two_classes(model(covered, training=False)) for model in models]
        return np.asarray(mean_of_logits(looks), np.float32)

    return occlusion(forward, images, labels.tolist())
