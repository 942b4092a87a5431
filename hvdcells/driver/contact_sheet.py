"""A contact sheet: training images as they are, and as an experiment's augmentation changes them."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.experiment import Augmentation, Experiment
from hvdcells.secrets import visible
from hvdcells.spark.backends.entry import import_tensorflow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_contact_sheet(
    dataset: Dataset, experiment: Experiment, location: str, *, num_images: int = 6, num_variants: int = 7
) -> None:
    """Draw one row per image: the image, then what the training step might make of it. Written as PNG.

    Args:
        dataset: its training split is shown, the classes in turn.
        experiment: its augmentation, input size and seed are used.
        location: where the picture goes, local or an fsspec address.
        num_images: rows.
        num_variants: changed images in a row.

    Raises:
        UserError: the Parquet does not hold what the manifest says.
    """
    import_tensorflow()
    import tensorflow as tf

    from hvdcells.rank.augmentation import augment
    from hvdcells.scores.plots import plain_text

    images, labels = some_of_each_class(dataset, experiment, num_images)
    variants = [
        augment(tf.constant(images), experiment.augmentation, tf.constant([experiment.seed, number])).numpy()
        for number in range(num_variants)
    ]
    with plain_text():
        figure = _drawn(images, variants, labels, dataset, experiment)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130)
    storage.write_bytes(location, png.getvalue())


def _drawn(
    images: NDArray[np.uint8], variants: list[Any], labels: list[int], dataset: Dataset, experiment: Experiment
) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.3 * (len(variants) + 1), 1.3 * len(images) + 1), layout="constrained")
    axes = figure.subplots(len(images), len(variants) + 1, squeeze=False)
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(visible(dataset.manifest.class_names[label]))
        for column, batch in enumerate([images, *variants]):
            axes[row, column].imshow(batch[row].round().astype(np.uint8), interpolation="nearest")
            axes[row, column].set(xticks=[], yticks=[])
    axes[0, 0].set_title("as it is", fontsize=9)
    for column in range(len(variants)):
        axes[0, column + 1].set_title(f"draw {column + 1}", fontsize=9)
    title = f"Augmentation: {describe(experiment.augmentation)}; seed {experiment.seed}"
    notice = f"\n{SYNTHETIC_NOTICE}" if dataset.manifest.synthetic else ""
    figure.suptitle(title + notice, fontsize=9, wrap=True)
    return figure


def describe(options: Augmentation) -> str:
    """Say in one line what is changed, such as `flips, rotation_degrees 180, stain 0.05`."""
    changes = [name if value is True else f"{name} {value:g}" for name, value in options.model_dump().items() if value]
    return ", ".join(changes) or "none"


def some_of_each_class(
    dataset: Dataset, experiment: Experiment, num_images: int
) -> tuple[NDArray[np.uint8], list[int]]:
    """Return uint8 images (n, size, size, 3) and labels, the classes in turn; fewer if the split has fewer."""
    from hvdcells.rank.input.reader import open_reader

    size = experiment.data.input_size or dataset.manifest.image_size
    found: dict[int, list[NDArray[np.uint8]]] = {label: [] for label in range(len(dataset.manifest.class_names))}
    wanted = -(-num_images // len(found))
    order = range(len(dataset.rows_per_row_group("train")))
    with open_reader(dataset, "train", order, input_size=size, num_threads=1) as row_groups:
        for row_group in row_groups:
            for image, label in zip(row_group.image, row_group.label.tolist(), strict=True):
                if len(found[label]) < wanted:
                    found[label].append(image.copy())
            if all(len(images) == wanted for images in found.values()):
                break
    turns = [(images[turn], label) for turn in range(wanted) for label, images in found.items() if turn < len(images)]
    images, labels = zip(*turns[:num_images], strict=True)
    return np.stack(images), list(labels)
