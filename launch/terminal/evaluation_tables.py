"""An evaluation as tables on the screen."""

from rich.table import Table

from hvdcells.data.manifest import SYNTHETIC_NOTICE, lacking_classes
from hvdcells.scores.evaluation import Evaluation
from hvdcells.scores.intervals import Interval
from hvdcells.scores.scorer import CLASS_SCORE_NAMES
from launch.terminal.console import Console


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print scores by image and by subject with their intervals, each class, and the two confusion matrices."""
    by_image, by_subject = evaluation.by_image, evaluation.by_subject
    views = f", {evaluation.num_views} flips and turns of each image averaged" * (evaluation.num_views > 1)
    title = f"Split {evaluation.split}{views}: {by_image['images']} images"
    if by_subject:
        title += f" of {evaluation.num_subjects} subjects"
    table = Table(title=title)
    table.add_column("score")
    table.add_column("by image", justify="right")
    table.add_column("95 % interval", justify="right")
    if by_subject:
        table.add_column("by subject", justify="right")
        table.add_column("95 % interval", justify="right")
    for name in evaluation.score_names:
        row = [evaluation.label(name), _number(by_image[name]), _bounds(evaluation.intervals[name])]
        if by_subject:
            row += [_number(by_subject[name]), _bounds(evaluation.subject_intervals[name])]
        table.add_row(*row)
    console.print(table)
    there = [name for name, row in zip(evaluation.class_names, by_image["confusion_matrix"], strict=True) if any(row)]
    if len(there) < len(evaluation.class_names):
        console.print(lacking_classes(evaluation.split, there, evaluation.class_names), style="bold red", markup=False)
    console.print(_classes(evaluation))
    console.print(_confusion("images", by_image["confusion_matrix"], evaluation.class_names))
    if by_subject:
        console.print(_confusion("subjects", by_subject["confusion_matrix"], evaluation.class_names))
        methods = evaluation.interval_methods
        console.print(
            f"Intervals by image: {methods['by_image']}. By subject, of accuracy, sensitivity, specificity and "
            f"precision: {methods['by_subject_proportions']}; of the others: {methods['by_subject_others']}. None (–) "
            "where all resamples score alike. A subject's call is the mean of its images' probabilities."
        )
        if evaluation.num_mixed_subjects:
            console.print(
                f"{evaluation.num_mixed_subjects} subjects have images of several classes: by subject they count as of "
                "the class of most of them."
            )
    else:
        console.print(
            "The dataset names no subjects: images of one subject may be in training and here. Intervals: "
            f"{evaluation.interval_methods['by_image']}.",
            style="red",
        )
    other = evaluation.dataset.other
    for sentence in evaluation.dataset.sentences():
        console.print(sentence, style="red" if other and other.shares_anything else "yellow", markup=False)
    if evaluation.synthetic:
        console.print(SYNTHETIC_NOTICE, style="bold yellow")


def _classes(evaluation: Evaluation) -> Table:
    table = Table(title="Each class against the rest, by image")
    for name in ("class", "images", *(word.replace("_", " ") for word in CLASS_SCORE_NAMES)):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, scores in zip(evaluation.class_names, evaluation.by_image["per_class"], strict=True):
        table.add_row(name, str(scores["images"]), *(_number(scores[word]) for word in CLASS_SCORE_NAMES))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bounds(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _confusion(what: str, matrix: list[list[int]], class_names: tuple[str, ...]) -> Table:
    table = Table(title=f"Confusion of {what}")
    table.add_column("is \\ called")
    for name in class_names:
        table.add_column(name, justify="right")
    for name, row in zip(class_names, matrix, strict=True):
        table.add_row(name, *map(str, row))
    return table
