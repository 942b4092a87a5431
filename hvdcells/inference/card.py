"""The model card of an export (Mitchell et al. 2019): what it was made of, what it is worth, what it is not for."""

from typing import Any

from hvdcells import storage
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.inference.exported import ExportedModel
from hvdcells.runs.directory import RunDirectory
from hvdcells.scores.evaluation import Evaluation

_USE = {
    "onnx": """```python
import json
import onnxruntime

model = onnxruntime.InferenceSession("model.onnx")
[probabilities] = model.run(["probabilities"], {"images": images})  # uint8, (n, height, width, 3), RGB
classes = json.load(open("model.json"))["decision"]["class_names"]
```""",
    "tflite": "A signature `serving_default`, from `images` to `probabilities`; images are cropped and resized before.",
    "savedmodel": "A signature `serving_default`, from `images` to `probabilities`, as `model.json` says.",
    "keras": "A model of stock Keras layers, from images already cropped and resized to calibrated probabilities.",
}


def card(
    run: RunDirectory,
    described: ExportedModel,
    evaluations: dict[str, Evaluation],
    num_parameters: int,
    size_bytes: int,
) -> str:
    """Return the card of an export, as Markdown."""
    noted = run.read_json(run.run)["dataset"]
    preparation, decision = described.preparation, described.decision
    first, images = described.first_weights, noted["images"]
    crop = f"centre square of {preparation.crop} pixels" if preparation.crop else "largest centre square"
    positive = ", ".join(decision.positive_classes)
    return "\n".join(
        [
            f"# {described.backbone}: {', '.join(described.class_names)}",
            "",
            *([f"**{SYNTHETIC_NOTICE}**", ""] if described.synthetic else []),
            "**Not a medical device.** It tells classes of images of single cells apart, as they are in its dataset.",
            "",
            "## Model",
            "",
            f"- {described.backbone}, {num_parameters:,} parameters, {size_bytes:,} bytes as {described.format}"
            + f" ({described.quantized})" * bool(described.quantized),
            "- first weights: "
            + ("random" if first is None else f"{first.name}, {first.licence or 'licence not known'}"),
            f"- images: RGB, {crop}, resized to {preparation.input_size}×{preparation.input_size}; the file takes "
            f"{described.takes}",
            f"- probabilities: softmax of logits over {decision.temperature:.4g}, the temperature that calibrates them",
            *(
                [
                    f"- {positive} is called from {decision.threshold:.4g} on ({decision.chosen}); from "
                    f"{decision.refer[0]:.4g} to {decision.refer[1]:.4g} a person should look; a subject is called by "
                    f"the {decision.subject_rule} of its images"
                ]
                if positive
                else []
            ),
            *[f"- {note}" for note in decision.notes],
            "",
            "## Data",
            "",
            f"- dataset {described.digests.dataset[:12]}: "
            + ", ".join(f"{number:,} {split} images" for split, number in images.items()),
            "- subjects are " + ("known, and each is in one split" if noted["subjects_known"] else "not known"),
            "",
            "## Scores",
            "",
            *(
                ["The scores are those of the model before it was brought to 8 bits.", ""]
                if described.quantized
                else []
            ),
            *[line for name, found in evaluations.items() for line in _scores(name, found)],
            "## Meant for, and not for",
            "",
            "- For: research on images of single cells, prepared and stained as those of the dataset, looked at by a "
            "person who can judge them.",
            "- Not for: diagnosis, images of other microscopes, stains or preparations without a validation of their "
            "own, images of several cells.",
            "",
            "## Limits",
            "",
            "- Scores hold for subjects like those of the dataset; intervals are wide where subjects are few.",
            "- It calls every image one of its classes, also an image that is no cell.",
            "- Threshold, temperature and refer band were chosen on validation images, on which they flatter.",
            "",
            "## Cost",
            "",
            *_cost(run),
            "",
            "## How to use it",
            "",
            _USE[described.format],
            "",
        ]
    )


def _scores(name: str, found: Evaluation) -> list[str]:
    of_subjects = f", {found.num_subjects} subjects" if found.subjects_known else ""
    rows = [
        f"### {name}: {found.by_image['images']:,} images{of_subjects}",
        "",
        "| | by image | by subject |",
        "|---|---|---|",
    ]
    for score in found.score_names:
        by_subject = found.by_subject or {}
        of_images = _cell(found.by_image.get(score), found.intervals.get(score))
        of_subjects = _cell(by_subject.get(score), found.subject_intervals.get(score))
        rows.append(f"| {found.label(score)} | {of_images} | {of_subjects} |")
    methods = "; ".join(f"{what.replace('_', ' ')}: {how}" for what, how in found.interval_methods.items())
    return [*rows, "", f"In brackets 95 % intervals ({methods}). Of the likeliest class, not of the threshold.", ""]


def _cell(value: Any, interval: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" ({interval[0]:.3f}–{interval[1]:.3f})" if interval else "")


def _cost(run: RunDirectory) -> list[str]:
    finished = run.read_json(run.finished)
    told = [f"- epochs: {finished['epochs']}"] if finished.get("epochs") else []
    if storage.exists(run.cost):
        cost = run.read_json(run.cost)
        return [*told, f"- machines: {cost['usd']} USD (prices of {cost['as_of']})"]
    return [*told, "- what its machines cost was not noted"]
