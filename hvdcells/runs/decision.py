"""The decision of a run: chosen on its validation predictions at the end of training, and kept with it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.data.manifest import default_positive_classes
from hvdcells.errors import UserError, fields_refused
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.predictions import OUT_OF_FOLD, read_predictions

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.decision import Decision

REMEDY = "choose one with `hvdcells decide RUN`"


def choose_decision(run: RunDirectory, **options: Any) -> "Decision":
    """Choose the run's decision on its validation predictions, of an ensemble those out of fold, and keep it.

    Args:
        run: whose validation predictions are there.
        options: of `scores.decision.decide`.

    Raises:
        UserError: the options do not fit, or there are no validation predictions.
    """
    from hvdcells.scores.decision import REFER_SHARE, decide

    noted = run.read_json(run.run)["dataset"]
    try:
        folds = storage.exists(run.predictions(OUT_OF_FOLD))  # an ensemble has no other validation images
        predictions = read_predictions(run, OUT_OF_FOLD if folds else "validation")
    except FileNotFoundError:
        raise UserError(
            f"{run.location} holds no validation predictions", "those that training leaves", "name a finished run"
        ) from None
    names = noted["class_names"]
    decision = decide(
        logits_of(predictions, names),
        predictions["label"].to_numpy(),
        predictions["subject"].tolist() if noted["subjects_known"] else None,
        names,
        noted.get("positive_classes", default_positive_classes(names)),
        **options,
    )
    write_json(run.decision, {**decision.model_dump(), "refer_share": options.get("refer_share", REFER_SHARE)})
    return decision


def read_decision(run: RunDirectory) -> "tuple[Decision, float]":
    """Return the run's decision, and the share of images it refers.

    Raises:
        UserError: there is none, or one of another version.
    """
    from hvdcells.scores.decision import Decision

    if not storage.exists(run.decision):
        raise UserError(f"{run.decision} is not there: an earlier version made the run", "the run's decision", REMEDY)
    values = run.read_json(run.decision)
    refer_share = values.pop("refer_share", 0.0)
    with fields_refused(f"{run.decision} is not what this version reads: ", REMEDY):
        return Decision.model_validate(values), refer_share


def judge_decision(run: RunDirectory, name: str) -> dict[str, Any]:
    """Return what the run's decision comes to on predictions of the run, by their name.

    Raises:
        UserError: the run has no decision.
        FileNotFoundError: there is no such evaluation.
    """
    from hvdcells.scores.decision_scores import judge

    decision, refer_share = read_decision(run)
    predictions = read_predictions(run, name)
    known = run.read_json(run.evaluation(name))["subjects_known"]  # of another dataset it may be otherwise
    subjects = predictions["subject"].tolist() if known else None
    logits = logits_of(predictions, decision.class_names)
    return judge(decision, logits, predictions["label"].to_numpy(), subjects, refer_share)


def logits_of(predictions: "pd.DataFrame", class_names: Sequence[str]) -> NDArray[np.float64]:
    """Return the logits in a table of predictions, (images, classes)."""
    from hvdcells.scores.prediction_table import logit_column

    return predictions[[logit_column(name) for name in class_names]].to_numpy(np.float64)
