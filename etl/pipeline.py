"""The ETL stage: from images and labels, wherever they lie, to a dataset that can be trained on."""

import importlib.metadata
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from etl import groups, leakage, narrating, shards, state
from etl.describing import channel_moments, fold_summaries, images_per_split, summaries, tallies
from etl.frames import persist, settings_for
from etl.images import load_rows, rejected, usable
from etl.jobs import decode_all, write_all
from etl.listing import write_rows
from etl.narrating import Narrator
from etl.options import EtlOptions
from etl.overview import write_overview
from etl.placing import place
from etl.planning import Plan, plan_etl
from etl.rejects import refuse_too_many, write_rejects
from etl.validating import refuse_empty_training
from etl.writing import Writing, row_group_rows, write_common_metadata
from hvdcells.manifest import Manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_etl(
    spark: "SparkSession",
    source: str | os.PathLike,
    dataset: str | os.PathLike,
    options: EtlOptions | None = None,
    update: bool = False,
    narrator: Narrator | None = None,
) -> Manifest:
    """Make a dataset from a source, go on with one that was interrupted, or find that there is nothing to do.

    Args:
        spark: the session to work in; borrowed, not stopped.
        source: a folder of images or a table that names them; local, `s3://` or any fsspec address.
        dataset: where the dataset goes; likewise.
        options: see `EtlOptions`.
        update: bring a finished dataset in line with its source; images that are known are not decoded again.
        narrator: told what goes on.

    Returns:
        The manifest, as it was written.

    Raises:
        UserError: the source, the options or what is at the dataset's location is not acceptable.
    """
    return carry_out(spark, plan_etl(source, dataset, options, update, narrator), narrator)


def carry_out(spark: "SparkSession", plan: Plan, narrator: Narrator | None = None) -> Manifest:
    """Do what was planned: the whole way from images to a dataset.

    Raises:
        UserError: too many images cannot be used, or there are too few subjects for the split.
    """
    if plan.nothing_to_do:
        return plan.finished
    narrator = narrator or Narrator()
    source, dataset, options, layout, counts = plan.source, plan.dataset, plan.options, plan.layout, plan.counts
    previous = plan.previous
    state.begin(dataset, source, options, plan.finished)

    # ---- Every image once: read, decode, hash, crop, resize, encode; shard by shard, finished ones are kept.
    decoding = shards.Decoding(
        layout.base,
        dataset,
        options.image_size,
        options.crop,
        options.encoding,
        options.seed,
        options.decoding_digest(),
    )
    num_shards = shards.num_shards_for(counts.num_images)
    first_shard = shards.first_free(previous.shards) if previous else 0
    chunks = write_rows(layout, state.listing_folder(dataset), options.seed, num_shards, first_shard)
    progress = narrating.Counts(spark.sparkContext)
    with (
        settings_for(spark, counts.num_images),
        state.standing_on_refusal(dataset, plan.finished),
        ExitStack() as persisted,
        ThreadPoolExecutor(1) as threads,
    ):
        with narrating.narrated(narrator, progress, "decoding", counts.num_images):
            staged, num_rejected = decode_all(spark, chunks, decoding, previous, first_shard, num_shards, progress)

        # ---- Metadata only: rejects, leakage groups, splits.
        rows = persisted.enter_context(persist(load_rows(spark, chunks, staged, decoding)))
        some_rejected = num_rejected or counts.num_rejected or previous
        rejects = write_rejects(rejected(rows) if some_rejected else None, dataset)
        refuse_too_many(rejects, counts.num_images, options.max_rejects, dataset)
        images = usable(rows, layout.subjects_known)
        near_pairs = persisted.enter_context(persist(groups.near_duplicates(images, options.near_duplicate_bits)))
        grouped = groups.with_groups(images, near_pairs if options.near_duplicates == "join" else None)
        has_validation = bool(counts.num_per_official_split.get("validation"))
        placed = persisted.enter_context(persist(place(grouped, options, layout.class_names, has_validation)))
        tallied = tallies(placed, layout.subjects_known)
        # Small jobs that nothing waits for: they find their place between the tasks of the big one below.
        report = threads.submit(leakage.report, placed, tallied, near_pairs, layout.subjects_known, options.keep_leaks)

        # ---- The Parquet files, from the encoded images; nothing is decoded again.
        per_split = images_per_split(tallied)
        refuse_empty_training(per_split)
        by_fold = options.split == "k-fold"
        num_parts = {"train": options.num_folds} if by_fold else {}
        rows_per_group = {
            name: row_group_rows(num // num_parts.get(name, 1), options.row_group_rows)
            for name, num in per_split.items()
        }
        writing = Writing(decoding, rows_per_group, state.old_files(previous), by_fold)
        progress = narrating.Counts(spark.sparkContext)
        with narrating.narrated(narrator, progress, "writing", sum(per_split.values())):
            written = write_all(spark, placed, writing, first_shard + num_shards, progress)
        leaks = report.result()

    # ---- The description, and last of all the manifest: from then on it is a dataset.
    splits = summaries(tallied, written, layout.class_names)
    parquet = [file for split in splits.values() for file in split.files]
    mean, std = channel_moments(tallied, options.image_size)
    manifest = Manifest(
        synthetic=plan.synthetic,
        source=source,
        layout=layout.name,
        listing_digest=counts.digest,
        options=options.model_dump(mode="json"),
        versions=versions(),
        image_size=options.image_size,
        image_encoding=options.encoding,
        class_names=layout.class_names,
        subjects_known=layout.subjects_known,
        channel_mean=mean,
        channel_std=std,
        splits=splits,
        folds=fold_summaries(tallied, layout.class_names, options.image_size) if by_fold else {},
        leakage=leaks,
        listed=counts.num_images,
        written=sum(split.images for split in splits.values()),
        size_bytes=state.remove_other_images(dataset, parquet),
        rejected=rejects,
        dropped=len(leaks.dropped),
        unlabelled=counts.num_unlabelled,
        shards=tuple(sorted(staged)),
    )
    state.refuse_miscount(manifest)
    write_common_metadata(dataset, parquet, options.image_size, options.encoding)
    write_overview(dataset, manifest)
    state.finish(dataset, manifest)
    return manifest


def versions() -> dict[str, str]:
    """Return the versions of what decides the content of a dataset."""
    names = ("hvdcells", "numpy", "opencv-python-headless", "petastorm", "pyarrow", "pyspark", "xxhash")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
