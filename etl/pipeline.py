"""The ETL stage: from images and labels, wherever they lie, to a dataset that can be trained on."""

import importlib.metadata
import os
import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from etl.dataset import work_folder
from etl.dataset.overview import write_overview
from etl.dataset.petastorm import write_common_metadata
from etl.dataset.rejects import refuse_too_many, write_rejects
from etl.leakage import report
from etl.leakage.find import find_sharing
from etl.listener import Counts, Listener, reported
from etl.options import EtlOptions
from etl.placement.place import decide
from etl.plan import Plan, plan_etl
from etl.shards.counts import channel_moments, fold_summaries, summaries, tally
from etl.shards.findings import Decoding, num_shards_for, number_of
from etl.shards.jobs import decode_all, rejects_of_all, settle_all
from etl.shards.task import Making
from etl.shards.update import keep_known_shards
from hvdcells import storage
from hvdcells.data.manifest import Manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_etl(
    spark: "SparkSession",
    source: str | os.PathLike,
    dataset: str | os.PathLike,
    options: EtlOptions | None = None,
    update: bool = False,
    listener: Listener | None = None,
) -> Manifest:
    """Make a dataset from a source, go on with one that was interrupted, or find that there is nothing to do.

    Args:
        spark: the session to work in; borrowed, not stopped.
        source: a folder of images or a table that names them; local, `s3://` or any fsspec address.
        dataset: where the dataset goes; likewise.
        options: see `EtlOptions`.
        update: bring a finished dataset in line with its source; images that are known are not decoded again.
        listener: told what goes on.

    Returns:
        The manifest, as it was written.

    Raises:
        UserError: the source, the options or what is at the dataset's location is not acceptable.
    """
    return carry_out(spark, plan_etl(source, dataset, options, update, listener), listener)


@storage.user_errors()
def carry_out(spark: "SparkSession", plan: Plan, listener: Listener | None = None) -> Manifest:
    """Do what was planned: the whole way from images to a dataset.

    Raises:
        UserError: too many images cannot be used, or there are too few subjects for the split.
    """
    if plan.nothing_to_do:
        return plan.finished
    listener = listener or Listener()
    dataset, options, layout, listing = plan.dataset, plan.options, plan.layout, plan.listing
    work_folder.begin(dataset, plan.source, options, plan.finished)
    with work_folder.standing_on_refusal(dataset, plan.finished):
        # ---- Every image once: read, decode, hash, crop, resize, and written where it will most likely stay.
        numbers, making = deal_out(spark, plan)
        progress = Counts(spark.sparkContext)
        with reported(listener, progress, "decoding", listing.num_images - listing.num_unlabelled):
            made = decode_all(spark, numbers, making, progress)
        some_rejected = listing.num_rejected or any(shard.num_rejected for shard in made)
        rejects = write_rejects(rejects_of_all(spark, numbers, made, making) if some_rejected else (), dataset)
        refuse_too_many(rejects, listing.num_images, options.max_rejects, dataset)

        # ---- What only pixels tell: copies, and subjects that are joined by them. It may change where images go.
        found = find_sharing(spark, made, making, options)
        placement = decide(listing.num_per_kind, options, layout.class_names, plan.has_validation, found.sharing)

        # ---- Files that differ from what decoding wrote, from the encoded images; nothing is decoded again.
        if placement != plan.placement or not all(shard.settled for shard in made):
            making = replace(making, placement=placement)
            progress = Counts(spark.sparkContext)
            with reported(listener, progress, "sorting", sum(shard.num_images for shard in made)):
                made = settle_all(spark, made, making, progress)

    # ---- The description, and last of all the manifest: from then on it is a dataset.
    tallied = tally(entry for shard in made for entry in shard.tallies)
    written = [file for shard in made for file in shard.files]
    splits = summaries(tallied, written, layout.class_names, layout.subjects_known)
    by_fold = options.split == "k-fold"
    described = layout.class_names, options.image_size, layout.subjects_known
    folds = fold_summaries(tallied, *described) if by_fold else {}
    parquet = [file for split in splits.values() for file in split.files]
    dropped = {source: reason for shard in made for source, reason in shard.dropped.items()}
    leaks = report.report(placement, found, tallied, dropped, layout.subjects_known, options.keep_leaks)
    mean, std = channel_moments(tallied, options.image_size)
    manifest = Manifest(
        synthetic=plan.synthetic,
        source=plan.source,
        layout=layout.name,
        listing_digest=listing.digest,
        options=options.model_dump(mode="json"),
        versions=versions(),
        image_size=options.image_size,
        image_encoding=options.encoding,
        class_names=layout.class_names,
        subjects_known=layout.subjects_known,
        channel_mean=mean,
        channel_std=std,
        splits=splits,
        folds=folds,
        leakage=leaks,
        listed=listing.num_images,
        written=sum(split.images for split in splits.values()),
        size_bytes=work_folder.remove_other_images(dataset, parquet),
        rejected=rejects,
        dropped=len(leaks.dropped),
        unlabelled=listing.num_unlabelled,
        shards=tuple(sorted(shard.staged for shard in made)),
    )
    work_folder.refuse_miscount(manifest)
    write_common_metadata(dataset, parquet, options.image_size, options.encoding)
    write_overview(dataset, manifest)
    work_folder.finish(dataset, manifest)
    return manifest


def deal_out(spark: "SparkSession", plan: Plan) -> tuple[list[int], Making]:
    """Deal the images out to shards; return the numbers of these, and what a task must know."""
    listing, dataset, options, known = plan.listing, plan.dataset, plan.options, ()
    decoding = Decoding(
        source=plan.layout.base,
        dataset=dataset,
        image_size=options.image_size,
        crop=options.crop,
        encoding=options.encoding,
        seed=options.seed,
        options_digest=options.decoding_digest(),
    )
    folder = work_folder.listing_folder(dataset)
    num_shards = num_shards_for(listing.num_images)
    if plan.previous is None:
        numbers = listing.deal_out(folder, options.seed, num_shards)
    else:
        known = plan.previous.shards
        first_shard = 1 + max(map(number_of, known), default=-1)
        new_folder = work_folder.listing_folder(dataset, "new-listing")
        numbers = listing.deal_out(new_folder, options.seed, num_shards, first_shard)
        numbers = keep_known_shards(spark, new_folder, numbers, known, decoding, folder)
    making = Making(
        decoding=decoding,
        placement=plan.placement,
        listing=folder,
        subjects_known=plan.layout.subjects_known,
        known_shards={number_of(staged): staged for staged in known},
        earlier_files=work_folder.earlier_files(plan.previous),
    )
    return numbers, making


def versions() -> dict[str, str]:
    """Return the versions of what decides the content of a dataset."""
    names = ("hvdcells", "numpy", "opencv-python-headless", "petastorm", "pyarrow", "pyspark", "xxhash")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
