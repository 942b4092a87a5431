"""Heat maps of images that were predicted: pictures for people who look at what a model is not sure of."""

import re
from typing import TYPE_CHECKING

import numpy as np

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.decode import Pixels, Unreadable, read_image
from hvdcells.images.overlay import encoded, strip
from hvdcells.inference.results import Output
from hvdcells.runs.directory import write_json
from hvdcells.storage import parquet

if TYPE_CHECKING:
    from hvdcells.inference.classifier import Classifier

PANEL_PIXELS = 224


def explain_predictions(classifier: "Classifier", output: Output, source: str, num_images: int) -> str:
    """Write a PNG for each of the images whose called class has the lowest calibrated probability, least sure first.

    A picture shows the image, Grad-CAM where the model has a layer for it, and occlusion; `index.json` beside them says
    which image it is, what it is called and how sure.

    Args:
        classifier: that predicted them.
        output: of a finished prediction.
        source: location that paths are below.
        num_images: how many.

    Returns:
        Where they are and what was read, in words.

    Raises:
        UserError: an image is gone since.
    """
    if classifier.heat_maps is None:
        raise TypeError("a classifier that was not loaded from a run explains nothing")
    columns = [f"calibrated_{name}" for name in classifier.class_names]
    rows = parquet.read_table(output.predictions, ["path", "called", *columns]).to_pandas()
    sure = rows[columns].to_numpy().max(axis=1)
    folder, shown, layer = output.path("explanations"), [], ""
    storage.remove(folder)  # of an earlier call, which may have made more
    for number, row in enumerate(np.argsort(sure, kind="stable")[:num_images].tolist(), start=1):
        path, name = rows["path"][row], rows["called"][row]
        image = _prepared(classifier, path, source)
        maps, layer = classifier.heat_maps(image[None], np.array([classifier.class_names.index(name)]))
        file = f"{number:04d}-{re.sub(r'[^A-Za-z0-9.-]+', '_', path)[-80:]}.png"
        picture = strip(image, [heat[0] for heat in maps.values()], PANEL_PIXELS)
        storage.write_bytes(storage.join(folder, file), encoded(picture, ".png"))
        shown.append({"file": file, "path": path, "called": name, "calibrated": sure[row], "panels": ["image", *maps]})
    write_json(storage.join(folder, "index.json"), {"grad_cam_reads": layer, "pictures": shown})
    return f"Heat maps of {len(shown)} images, least sure first: {folder} (Grad-CAM: {layer})"


def _prepared(classifier: "Classifier", path: str, source: str) -> Pixels:
    content = read_image(path, source)
    try:
        if isinstance(content, str):
            raise Unreadable(content)
        return classifier.preparation.of_content(content)
    except Unreadable as verdict:
        raise UserError(
            f"{path} was predicted and cannot be read any more: {verdict}", "the image as it was", "predict again"
        ) from None
