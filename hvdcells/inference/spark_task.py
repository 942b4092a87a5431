"""What a task of Spark predicts: parts of a listing. Only counts go through Spark, never an image."""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.inference.classifier import Classifier
from hvdcells.inference.parts import Listing, predict_parts
from hvdcells.runs.directory import RunDirectory
from hvdcells.spark.listener import CountImages

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@lru_cache(maxsize=1)
def worker_classifier(run: RunDirectory, digest: str, num_views: int) -> Classifier:
    """Return the classifier of a run, loaded once in each Python process of Spark, for the cores and GPU of its task.

    Raises:
        RuntimeError: the run has another model here than on the driver.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context else None
    if gpus is not None and gpus.addresses:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.addresses[0]
    classifier = Classifier.load(run, threads=context.cpus() if context else None, tta=num_views)
    if classifier.model_digest != digest:
        raise RuntimeError(
            f"{run.location} holds another model here ({classifier.model_digest}) than on the driver ({digest})"
        )
    return classifier


def predict_on_spark(
    spark: "SparkSession",
    run: RunDirectory,
    digest: str,
    num_views: int,
    listing: Listing,
    parts: list[int],
    folder: str,
    count: CountImages,
) -> None:
    """Predict parts on Spark; each task takes some, so that one that fails costs little.

    Args:
        spark: session whose executors reach the run, the source and the folder.
        run: the run, with the code that it may name.
        digest: of its model.
        num_views: of each image that are averaged.
        listing: of the source.
        parts: numbers of those that are missing.
        folder: where parts are written.
        count: told of images and rejects.
    """
    num_tasks = min(len(parts), 8 * spark.sparkContext.defaultParallelism)
    task = _task(run, digest, num_views, listing, folder, count)
    spark.sparkContext.parallelize(parts, num_tasks).foreachPartition(task)


def _task(
    run: RunDirectory, digest: str, num_views: int, listing: Listing, folder: str, count: CountImages
) -> Callable[[Iterable[int]], None]:
    def predict(parts: Iterable[int]) -> None:
        with storage.told_to_driver():
            classifier = worker_classifier(run, digest, num_views)
            for num_done, num_rejected in predict_parts(classifier, listing, list(parts), folder):
                count(num_done, num_rejected)

    return predict
