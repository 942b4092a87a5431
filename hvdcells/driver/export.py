"""Export a run's model: one file, its description and its card. `export` tells it from top to bottom."""

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.driver.evaluate import find_dataset
from hvdcells.errors import UserError
from hvdcells.experiment.backbones import EFFICIENTNET_LITE0, IMAGENET
from hvdcells.inference.classifier import model_digest
from hvdcells.inference.exported import (
    CARD,
    DESCRIPTION,
    MODEL_FILES,
    TAKES_WHOLE,
    Digests,
    ExportedModel,
    FirstWeights,
    ModelFormat,
    Score,
)
from hvdcells.runs.decision import read_decision
from hvdcells.runs.directory import RunDirectory, checked_views
from hvdcells.runs.image_range import read_range
from hvdcells.runs.lock import is_unused, sole_owner
from hvdcells.runs.preparation import read_preparation
from hvdcells.runs.provenance import environment, version_of
from hvdcells.spark.backends.entry import import_tensorflow
from hvdcells.spark.listener import Listener

if TYPE_CHECKING:
    from hvdcells.inference.export_graph import ExportGraph
    from hvdcells.scores.evaluation import Evaluation

_OF_EXTRA = ("tf2onnx", "onnx", "onnxruntime")
_LICENCES = {EFFICIENTNET_LITE0: "Apache-2.0"}
"""Of ImageNet weights, by backbone, where it is known."""


@storage.user_errors()
def export(
    run: RunDirectory | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: ModelFormat = "onnx",
    quantize: Literal["int8"] | None = None,
    tta: int = 1,
    dataset: str | os.PathLike[str] | None = None,
    trust_code: Collection[str] = (),
    listener: Listener | None = None,
) -> ExportedModel:
    """Export the model of a finished run; it is tried on validation images before anything is written.

    Args:
        run: a finished run.
        out: where the export goes: a new or empty folder, on disk or at an address.
        to: the format.
        quantize: `int8` for an ONNX file that computes with 8 bits, calibrated on training images.
        tta: 8 for a file that averages over the flips and turns of each image.
        dataset: where the run's dataset is now; None for where it was.
        trust_code: modules of which the run's own description may name a function.
        listener: told what the trial has found.

    Returns:
        What `model.json` holds.

    Raises:
        UserError: no finished run, not its dataset, something else at `out`, or a package is missing.
        RuntimeError: the file does not give the probabilities of the Keras model.
    """
    listener = listener or Listener()
    _check_packages(to, quantize)
    num_views = checked_views(tta)
    directory = (run if isinstance(run, RunDirectory) else RunDirectory.at(run)).trusting(trust_code)
    experiment, preparation = directory.read_experiment(), read_preparation(directory)
    decision, image_range = read_decision(directory)[0], read_range(directory)
    if to == "keras" and (num_views > 1 or len(directory.models()) > 1):
        raise UserError(
            "a Keras file of several models or views",
            "one model and one view: it is of stock layers, which cannot average",
            "give --to onnx, or another format",
        )
    found = find_dataset(directory, experiment, dataset, "validation", other_dataset=False)
    opened, place = Dataset.open(found.location, found.validation_fold), storage.absolute(out)
    if not is_unused(place):
        raise UserError(f"{place} already holds other files", "a new or empty folder", "name another folder")
    import_tensorflow()
    from hvdcells.inference.export_graph import ExportGraph

    with sole_owner(place), tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        graph = ExportGraph(directory, experiment, preparation, decision.temperature, num_views)
        path = Path(folder, MODEL_FILES[to])
        graph.write(to, path)
        _try_out(graph, to, path, opened, listener)
        if quantize:
            _quantize(graph, path, opened, listener)
        evaluations = _evaluations(directory)
        described = ExportedModel(
            format=to,
            quantized=quantize,
            takes="whole images" if to in TAKES_WHOLE else "prepared images",
            preparation=preparation,
            decision=decision,
            num_views=num_views,
            embedding_size=None if to == "keras" else graph.embedding_size,
            backbone=experiment.model.backbone,
            synthetic=directory.read_json(directory.run)["dataset"]["synthetic"],
            digests=_digests(directory, path),
            versions=_versions(),
            first_weights=_first_weights(experiment.model.weights, experiment.model.backbone),
            scores={name: _scores_of(each) for name, each in evaluations.items()},
            range=None if image_range is None else image_range.model_dump(mode="json"),
        )
        _put(directory, described, path, place, graph.num_parameters, evaluations)
    return described


def _check_packages(to: ModelFormat, quantize: str | None) -> None:
    if quantize and to != "onnx":
        raise UserError(f"--quantize {quantize} with --to {to}", "--to onnx", "leave one of them out")
    missing = [name for name in _OF_EXTRA if importlib.util.find_spec(name) is None]
    if to == "onnx" and missing:
        raise UserError(
            f"a model is to be exported to ONNX, and {', '.join(missing)} is not installed here",
            "the packages of the extra export",
            "pip install 'hvdcells[export]'",
        )


def _try_out(graph: "ExportGraph", to: ModelFormat, path: Path, dataset: Dataset, listener: Listener) -> None:
    from hvdcells.inference.trial import MOST_DIFFERENCE, compare

    found = compare(dataset, graph.preparation, graph.open(to, path), graph.probabilities, whole=to in TAKES_WHOLE)
    whole = "" if found.whole is None else f", {found.whole:.1e} where the file crops and resizes"
    listener.say(
        f"Tried on {found.num_images} validation images: probabilities differ from the Keras model by at most "
        f"{found.prepared:.1e}{whole}."
    )
    if found.largest > MOST_DIFFERENCE:
        raise RuntimeError(
            f"the {to} file differs from the Keras model by {found.largest:.1e}, where {MOST_DIFFERENCE:.0e} is allowed"
        )


def _quantize(graph: "ExportGraph", path: Path, dataset: Dataset, listener: Listener) -> None:
    """Put an 8-bit file in place of one of float32, and tell what that costs and gains."""
    from hvdcells.inference.export_graph import quantized
    from hvdcells.inference.trial import CALIBRATION_IMAGES, for_model, judge_files, stored_batches

    images = (for_model(each, graph.preparation) for each in stored_batches(dataset, "train", CALIBRATION_IMAGES))
    with quantized(path, images) as small:
        sizes = [each.stat().st_size for each in (path, small)]
        files = [graph.open("onnx", each) for each in (path, small)]
        before, after = judge_files(dataset, graph.preparation, files, sizes)
        small.replace(path)
    listener.say(
        f"8 bits: weighted F1 by image {before.f1_by_image:.4f} → {after.f1_by_image:.4f}"
        + (
            f", by subject {before.f1_by_subject:.4f} → {after.f1_by_subject:.4f}"
            if before.f1_by_subject is not None and after.f1_by_subject is not None
            else ""
        )
        + f"; {before.size_bytes:,} → {after.size_bytes:,} bytes; "
        f"{1000 * before.seconds_per_image:.2f} → {1000 * after.seconds_per_image:.2f} ms an image (validation images)."
    )


def _digests(run: RunDirectory, path: Path) -> Digests:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digests = [hashlib.sha256(each.read_bytes()).hexdigest() for each in files]
    names = [each.relative_to(path).as_posix() for each in files]
    of_folder = hashlib.sha256("".join(map("{} {}\n".format, digests, names)).encode()).hexdigest()
    return Digests(
        run=hashlib.sha256(storage.read_bytes(run.run)).hexdigest(),
        model=model_digest(run),
        dataset=run.read_json(run.run)["dataset"]["digest"],
        file=of_folder if path.is_dir() else digests[0],
    )


def _versions() -> dict[str, str | None]:
    here: dict[str, Any] = environment()
    return {"hvdcells": here["hvdcells"], **here["versions"], **{name: version_of(name) for name in _OF_EXTRA}}


def _first_weights(weights: str | None, backbone: str) -> FirstWeights | None:
    if weights is None:
        return None
    is_imagenet = weights == IMAGENET
    # A run's location is its owner's.
    return FirstWeights(
        name="ImageNet" if is_imagenet else "of another run or file",
        licence=_LICENCES.get(backbone) if is_imagenet else None,
    )


def _evaluations(run: RunDirectory) -> dict[str, "Evaluation"]:
    from hvdcells.scores.evaluation import Evaluation

    read = {name: Evaluation.from_dict(run.read_json(run.evaluation(name))) for name in run.evaluations()}
    return {name: found for name, found in read.items() if found.split != "train"}


def _scores_of(found: "Evaluation") -> dict[str, Score]:
    bounds = {name: found.intervals.get(name) or (None, None) for name in found.score_names}
    return {
        name: Score(value=found.by_image.get(name), low=bounds[name][0], high=bounds[name][1])
        for name in found.score_names
    }


def _put(
    run: RunDirectory,
    described: ExportedModel,
    path: Path,
    place: str,
    num_parameters: int,
    evaluations: dict[str, "Evaluation"],
) -> None:
    """Write all of an export; `model.json` last, so that what has one is whole."""
    from hvdcells.inference.card import card

    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    for each in files:
        storage.write_bytes(storage.join(place, each.relative_to(path.parent).as_posix()), each.read_bytes())
    size_bytes = sum(each.stat().st_size for each in files)
    storage.write_text(storage.join(place, CARD), card(run, described, evaluations, num_parameters, size_bytes))
    storage.write_text(storage.join(place, DESCRIPTION), described.model_dump_json(indent=1) + "\n")
