"""`overview.png`: some images of each class and bar charts of classes and subjects, for a look at a dataset."""

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import cv2
import numpy as np

from etl.dataset.work_folder import OVERVIEW_NAME
from hvdcells import storage
from hvdcells.data.columns import SPLITS
from hvdcells.data.manifest import Manifest
from hvdcells.data.stored_images import decode_stored
from hvdcells.images.decode import Pixels
from hvdcells.secrets import visible
from hvdcells.storage.parquet import open_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES_PER_CLASS = 12
MOST_SUBJECTS = 60
_DPI = 90
_SPLIT_COLOURS = dict(zip(SPLITS, ("#4477aa", "#ddaa33", "#bb5566"), strict=True))


def sample_images(dataset: str, manifest: Manifest, per_class: int = IMAGES_PER_CLASS) -> dict[str, list[Pixels]]:
    """Return the first images of each class of the training split, RGB uint8; few row groups are read for it."""
    found: dict[str, list[Pixels]] = {name: [] for name in manifest.class_names}
    for file in manifest.splits["train"].files:
        with open_parts(storage.join(dataset, file.path)) as parquet:
            for index in range(parquet.num_row_groups):
                group = parquet.read_row_group(index, columns=["image", "class_name"])
                for stored, name in zip(group["image"], group["class_name"].to_pylist(), strict=True):
                    if len(found[name]) < per_class:
                        found[name].append(decode_stored(stored.as_py(), manifest.image_encoding))
                if all(len(images) == per_class for images in found.values()):
                    return found
    return found


def write_overview(dataset: str, manifest: Manifest) -> None:
    """Draw the overview and write it beside the manifest; what goes wrong with a picture is a warning."""
    import matplotlib

    location = storage.join(dataset, OVERVIEW_NAME)
    try:
        with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):
            storage.write_bytes(location, _draw(dataset, manifest))
    except Exception as error:
        warnings.warn(f"no {OVERVIEW_NAME}: {visible(str(error))} ({type(error).__name__})", stacklevel=2)
        with suppress(Exception):
            storage.remove(location)  # it would show an earlier state


def _draw(dataset: str, manifest: Manifest) -> bytes:
    # Not pyplot: it would choose a window system and keep figures alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_classes = len(manifest.class_names)
    bars = 0.4 + 0.4 * num_classes  # inches of the bars of all classes
    height = 1.6 * num_classes + bars + 5.3
    # Places are given: finding them out would draw everything three times.
    figure = Figure(figsize=(14, height), dpi=_DPI)
    kind = "synthetic images, not medical data" if manifest.synthetic else f"layout {manifest.layout}"
    title = f"{manifest.written} images of {manifest.image_size}×{manifest.image_size} ({kind})"
    figure.suptitle(title, fontsize=13, y=1 - 0.15 / height, va="top")
    images = sample_images(dataset, manifest)
    for number, (name, members) in enumerate(images.items()):
        axis = figure.add_axes((0.03, 1 - (1.95 + 1.6 * number) / height, 0.95, 1.3 / height))
        _draw_images(axis, name, members)
    _draw_classes(figure.add_axes((0.11, 4.4 / height, 0.87, bars / height)), manifest)
    _draw_subjects(figure.add_axes((0.11, 0.9 / height, 0.87, 2.8 / height)), manifest)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def shorten(name: str, most: int) -> str:
    """Return a name of at most so many characters, with control characters made visible."""
    name = visible(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _draw_images(axis: "Axes", name: str, members: list[Pixels]) -> None:
    axis.set_axis_off()
    axis.set_title(f"{shorten(name, 80)}, training split", loc="left", fontsize=10)
    if members:
        side = int(1.3 * _DPI)
        gap = np.full((side, 4, 3), 255, np.uint8)
        small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in members]
        row = np.hstack([part for image in small for part in (image, gap)])
        axis.imshow(row, interpolation="nearest")
        axis.set_anchor("W")


def _draw_classes(axis: "Axes", manifest: Manifest) -> None:
    left = dict.fromkeys(manifest.class_names, 0)
    for split in SPLITS:
        counts = manifest.splits[split].images_per_class
        names = list(manifest.class_names)
        widths = [counts.get(name, 0) for name in names]
        places = range(len(names))
        bars = axis.barh(places, widths, left=[left[name] for name in names], color=_SPLIT_COLOURS[split], label=split)
        axis.bar_label(bars, [str(width) if width else "" for width in widths], label_type="center", fontsize=8)
        for name, width in zip(names, widths, strict=True):
            left[name] += width
    axis.set_yticks(range(len(left)), [shorten(name, 18) for name in left])
    axis.invert_yaxis()  # in the order of the pictures above
    axis.set_xlabel("images per class")
    axis.legend(fontsize=8, ncols=len(SPLITS), loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def _draw_subjects(axis: "Axes", manifest: Manifest) -> None:
    subjects = [
        (split, name, number) for split in SPLITS for name, number in manifest.splits[split].images_per_subject.items()
    ]
    if not subjects:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "The source names no subjects.", ha="center")
        return
    shown = sorted(subjects, key=lambda subject: -subject[2])[:MOST_SUBJECTS]
    shown.sort(key=lambda subject: (SPLITS.index(subject[0]), -subject[2]))
    axis.bar(range(len(shown)), [number for *_, number in shown], color=[_SPLIT_COLOURS[split] for split, *_ in shown])
    axis.set_xticks(range(len(shown)), [visible(name) for _, name, _ in shown], rotation=90, fontsize=7)
    axis.set_xlim(-0.6, len(shown) - 0.4)
    left_out = f" (the {MOST_SUBJECTS} largest of {len(subjects)})" if len(subjects) > MOST_SUBJECTS else ""
    axis.set_ylabel("images")
    axis.set_xlabel(f"subjects{left_out}, coloured by split")
