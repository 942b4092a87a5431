"""The metrics that SageMaker reads from what training prints: expressions, and the line they end with."""

from typing import Any

NUMBER = r"([0-9]+\.?[0-9]*)"
OBJECTIVE = "kept:weighted_f1"
"""What a tuning maximises: the score of the model that the run keeps. SageMaker takes the last value of a metric, and
the last epoch is not the best one."""
EACH_EPOCH = "validation:weighted_f1"
"""The same score after every epoch, which Hyperband stops trainings by."""
_EPOCH = "epoch +[0-9]+/[0-9]+ .*"
DEFINITIONS = (
    {"Name": OBJECTIVE, "Regex": f"kept model of epoch [0-9]+: weighted F1 {NUMBER}"},
    {"Name": EACH_EPOCH, "Regex": f"{_EPOCH}weighted F1 {NUMBER}"},
    # Printed where there are more than two classes.
    {"Name": "validation:macro_f1", "Regex": f"{_EPOCH}macro F1 {NUMBER}"},
    {"Name": "validation:loss", "Regex": f"{_EPOCH}validation loss {NUMBER}"},
    {"Name": "train:loss", "Regex": f"epoch +[0-9]+/[0-9]+ +loss {NUMBER}"},
    {"Name": "train:images_per_second", "Regex": f"{_EPOCH} {NUMBER} images/s"},
)


def kept_line(records: list[dict[str, Any]], epoch: int) -> str:
    """Return what is printed when a run has ended.

    Args:
        records: those of `metrics.jsonl`.
        epoch: the kept one, counted from 1.
    """
    scores = records[epoch - 1]["validation"]
    return f"kept model of epoch {epoch}: weighted F1 {scores['weighted_f1']:.6f}, on the validation subjects"
