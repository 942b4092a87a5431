"""Predict the images of a source with a run's model, in this process or on Spark. `predict` tells it top to bottom."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Collection, Mapping
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.inference.challenge import submission
from hvdcells.inference.classifier import Classifier, model_digest
from hvdcells.inference.explanations import explain_predictions
from hvdcells.inference.parts import Listing, missing_parts, predict_parts, rows_per_part, write_listing
from hvdcells.inference.results import Output, put_together, summary, write_csv
from hvdcells.inference.source import Source
from hvdcells.inference.spark_task import predict_on_spark
from hvdcells.runs.decision import read_decision
from hvdcells.runs.directory import RunDirectory, checked_views, write_json
from hvdcells.runs.lock import OWNER_NAME, is_unused, sole_owner
from hvdcells.runs.preparation import read_preparation
from hvdcells.spark.listener import Listener, counted_stage
from hvdcells.spark.session import spark_session
from hvdcells.storage import parquet

SAME = {
    "run": "another run",
    "model": "another model",
    "source": "another source",
    "listing_digest": "other images or subjects",
    "decision": "another decision of the run",
    "tta": "other views of each image",
    "range": "another range of the run",
}
"""What may not change between the begin of a prediction and its end, and what it is called if it has."""
FEWEST_FOR_SPARK = 5000
"""Images below which Spark is not started unasked. On two busy cores 3,840 took one process half as long as local[2];
no cluster was measured."""


@storage.user_errors()
def predict(
    run: RunDirectory | str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    subject_pattern: str | None = None,
    tta: int = 1,
    explain: int = 0,
    csv: bool = False,
    challenge: bool = False,
    master: str | None = None,
    use_spark: bool | None = None,
    conf: Mapping[str, str] | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    trust_code: Collection[str] = (),
) -> dict[str, Any]:
    """Predict every image of a source once. A prediction that was stopped is gone on with by the same call.

    Args:
        run: a finished run.
        source: a folder of images, a C-NMC folder, or a table that names images; on disk or at an address.
        out: where predictions go: a new or empty folder.
        subject_pattern: finds the subject in the path of an image (its first group), where nothing else tells it.
        tta: 8 to average the probabilities of each image's eight flips and turns.
        explain: of how many images heat maps are written, to `explanations`: those that the model is least sure of.
        csv: write `predictions.csv` too.
        challenge: write C-NMC's submission too, `isbi_valid.zip`.
        master: Spark master; with it, images are predicted on Spark unless they are few.
        use_spark: whether to use Spark; None to go by `master` and the number of images.
        conf: Spark settings of a session that is started here.
        overwrite: delete an earlier prediction at that place.
        listener: told of progress.
        trust_code: modules of which the run's own description may name a function.

    Returns:
        What `finished.json` holds: `listed`, `predicted`, `rejected` by reason, `called` by class, and what was asked.

    Raises:
        UserError: no finished run, no images, or something else is at the place; or no submission can be made of them.
    """
    listener = listener or Listener()
    directory = (run if isinstance(run, RunDirectory) else RunDirectory.at(run)).trusting(trust_code)
    batch_size = directory.read_experiment().data.batch_size
    read_preparation(directory)  # a run without is refused before anything is listed
    read_decision(directory)
    images, output = Source.open(source), Output(storage.absolute(out))
    _refuse_overlap(images.location, output.location)
    with sole_owner(output.location), tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        if overwrite:
            _clear(output)
        _check_place(output)
        # The source is listed anew each time: what is gone on with must be what was begun.
        found, rows = storage.join(folder, "listing.parquet"), rows_per_part(batch_size)
        asked = {
            **_asked(directory, images, subject_pattern, found, rows),
            "tta": checked_views(tta),
            "range": _digest(directory.range),
        }
        _refuse_other(output, asked)
        if storage.exists(output.finished):
            listener.say(f"The prediction in {output.location} is finished: there is nothing left to predict.")
        else:
            storage.write_bytes(output.listing, storage.read_bytes(found))
            write_json(output.asked, asked)
            listing = Listing(output.listing, images.base, rows, asked["listed"])
            began = time.monotonic()
            _predict_missing(directory, asked["model"], tta, listing, output, listener, use_spark, master, conf)
            totals = put_together(output, listing, read_decision(directory)[0], asked["model"])
            outcome = {
                "predicted": totals.num_predicted,
                "rejected": dict(sorted(totals.rejected.items())),
                "called": {name: totals.called[name] for name in asked["class_names"]},
                "refer": totals.num_referred,
                "out_of_range": totals.num_out_of_range if storage.exists(directory.range) else None,
                "seconds": round(time.monotonic() - began, 3),
            }
            write_json(output.finished, {**asked, **outcome})
        storage.remove(output.path("work"))
        if explain:
            listener.say(explain_predictions(Classifier.load(directory, tta=tta), output, images.base, explain))
        if csv:
            listener.say(f"As CSV: {write_csv(output)}")
        if challenge:
            _write_submission(directory, output, listener)
        return summary(output)


def _asked(
    run: RunDirectory, images: Source, subject_pattern: str | None, found: str, rows_of_part: int
) -> dict[str, Any]:
    """List the source to a file; return what is asked for: run, model, source and listing.

    Raises:
        UserError: there is no image.
    """
    noted = run.read_json(run.run)["dataset"]
    num_images, digest = write_listing(images.images(noted["class_names"], subject_pattern), found, rows_of_part)
    if not num_images:
        raise UserError(
            f"the source {images.location} holds no image", "images", "name the folder that holds them, or their table"
        )
    return {
        "run": run.location,
        "model": model_digest(run),
        "source": images.location,
        "synthetic": noted["synthetic"],
        "class_names": noted["class_names"],
        "listing_digest": digest,
        "listed": num_images,
        "decision": _digest(run.decision),
        "range": _digest(run.range),
    }


def _digest(location: str) -> str | None:
    """Return the SHA-256 of a file; None where it is not there."""
    return hashlib.sha256(storage.read_bytes(location)).hexdigest() if storage.exists(location) else None


def _predict_missing(
    run: RunDirectory,
    digest: str,
    tta: int,
    listing: Listing,
    output: Output,
    listener: Listener,
    use_spark: bool | None,
    master: str | None,
    conf: Mapping[str, str] | None,
) -> None:
    missing = missing_parts(output.parts, listing)
    num_images = sum(map(listing.size_of, missing))
    if not missing:
        return
    if chooses_spark(use_spark, master, num_images, listener):
        with (
            spark_session(master, conf=conf) as spark,
            counted_stage(spark, listener, "predicting", num_images) as count,
        ):
            predict_on_spark(spark, run, digest, tta, listing, missing, output.parts, count)
    else:
        _predict_here(run, tta, listing, missing, output, listener)


def _predict_here(
    run: RunDirectory, tta: int, listing: Listing, missing: list[int], output: Output, listener: Listener
) -> None:
    classifier = Classifier.load(run, tta=tta)
    done = rejected = 0
    listener.stage("predicting", sum(map(listing.size_of, missing)))
    for num_done, num_rejected in predict_parts(classifier, listing, missing, output.parts):
        done, rejected = done + num_done, rejected + num_rejected
        listener.advance(done, rejected)
    listener.stage_over("predicting")


def chooses_spark(use_spark: bool | None, master: str | None, num_images: int, listener: Listener) -> bool:
    """Return whether images are predicted on Spark: as asked, else where there is a cluster and they are many."""
    if use_spark is not None:
        return use_spark
    submitted = "SPARK_ENV_LOADED" in os.environ
    if (master or submitted) and num_images < FEWEST_FOR_SPARK:
        listener.say(f"{num_images} images: one process is done before Spark has started; --spark starts it anyway")
        return False
    return bool(master or submitted)


def _write_submission(run: RunDirectory, output: Output, listener: Listener) -> None:
    from hvdcells.data.manifest import default_positive_classes

    noted = run.read_json(run.run)["dataset"]
    positive = noted.get("positive_classes", default_positive_classes(noted["class_names"]))
    if not positive:
        raise UserError(
            f"the run {run.location} names no class that counts as cancer",
            "a run of two classes",
            "leave --challenge out",
        )
    rows = parquet.read_table(output.predictions, ["path", "decision"]).to_pylist()
    location = output.path("isbi_valid.zip")
    storage.write_bytes(location, submission((row["path"], row["decision"] in positive) for row in rows))
    listener.say(f"Submission: {location}")


def _refuse_overlap(source: str, out: str) -> None:
    inner, outer = sorted((f"{place.rstrip('/')}/" for place in (source, out)), key=len, reverse=True)
    if inner.startswith(outer):
        raise UserError(
            f"the source {source} and the place of the predictions {out} lie one within the other",
            "two separate locations",
            "name a place for the predictions outside the source",
        )


def _check_place(output: Output) -> None:
    if storage.exists(output.asked) or is_unused(output.location):
        return
    # One that was killed before it had noted what was asked has left the begin of its work alone.
    if set(storage.names_in(output.location)) - {OWNER_NAME, "work"}:
        raise UserError(
            f"{output.location} already holds other files",
            "a new or empty folder for the predictions",
            "name another folder",
        )


def _refuse_other(output: Output, asked: dict[str, Any]) -> None:
    if not storage.exists(output.asked):
        return
    earlier = json.loads(storage.read_text(output.asked))
    changed = [name for name in SAME if earlier.get(name) != asked[name]]
    if changed:
        raise UserError(
            f"{output.location} holds a prediction of {', '.join(SAME[name] for name in changed)}",
            f"the run {earlier['run']} and the source {earlier['source']} as they were when it was begun",
            "name another folder, or give --overwrite to delete what is there",
        )


def _clear(output: Output) -> None:
    if storage.exists(output.asked):
        for name in storage.names_in(output.location):
            if name != OWNER_NAME:
                storage.remove(output.path(name))
