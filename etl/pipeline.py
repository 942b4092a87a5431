"""The ETL stage: from images and labels, wherever they lie, to a dataset that can be trained on."""

import heapq
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from etl.dataset import work_folder
from etl.dataset.accounting import refuse_miscount, refuse_too_many, write_rejects
from etl.dataset.overview import write_overview
from etl.dataset.petastorm import write_common_metadata
from etl.leakage.find import find_duplicates
from etl.leakage.report import leakage_report
from etl.options import DECODING_VERSION, EtlOptions
from etl.placement.decide import Duplicates, decide_placement
from etl.placement.place import Placement
from etl.plan import Plan, UpToDate, plan_etl
from etl.shards.counts import channel_moments, fold_summaries, split_summaries, tally
from etl.shards.findings import Decoding, num_shards_for, number_of
from etl.shards.jobs import decode_all, rejects_of_all, rewrite_all
from etl.shards.shard import ShardContext, WrittenShard, marked
from etl.shards.update import keep_known_shards
from etl.source.rows import Kind
from hvdcells import storage
from hvdcells.data.manifest import Manifest
from hvdcells.images.decode import sample_bits_of
from hvdcells.runs.provenance import version_of
from hvdcells.spark.listener import Listener, counted_stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_etl(
    spark: "SparkSession",
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
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
    plan = plan_etl(source, dataset, options, update, listener)
    return plan.manifest if isinstance(plan, UpToDate) else carry_out(spark, plan, listener)


@storage.user_errors()
def carry_out(spark: "SparkSession", plan: Plan, listener: Listener | None = None) -> Manifest:
    """Do what was planned: the whole way from images to a dataset.

    Raises:
        UserError: too many images cannot be used, or there are too few subjects for the split.
    """
    listener = listener or Listener()
    dataset, options, listing, class_names = plan.dataset, plan.options, plan.listing, plan.layout.class_names
    with work_folder.owned(dataset, plan.found):
        work_folder.begin(dataset, plan.source, options, plan.finished)
        with work_folder.standing_on_refusal(dataset, plan.finished):
            # ---- The images dealt out to shards, the restartable units of work; on disk, for the tasks to read.
            numbers, context = deal_out(spark, plan)

            # ---- Every image once: read, decode, hash, crop, resize, and written where it will most likely stay.
            with counted_stage(spark, listener, "decoding", listing.num_to_decode) as count:
                decoded = decode_all(spark, numbers, context, count)

            # ---- One scale for all images of more than 8 bits, which only all of them tell.
            sample_bits = sample_bits_of(max((shard.largest_deep_value for shard in decoded), default=0) or 2**16 - 1)
            context = replace(context, decoding=replace(context.decoding, sample_bits=sample_bits))
            again = {shard.number: shard for shard in decoded if shard.is_scaled_otherwise(sample_bits)}
            if again:
                num_again = sum(shard.num_images for shard in again.values())
                with counted_stage(spark, listener, "decoding by the range of all", num_again) as count:
                    again = {shard.number: shard for shard in decode_all(spark, list(again), context, count)}
                decoded = [again.get(shard.number, shard) for shard in decoded]
            num_rejected = sum((shard.num_rejected for shard in decoded), Counter[Kind]())

            # ---- What only pixels tell: copies, contradictory labels, and subjects that are joined by them.
            duplicates = find_duplicates(spark, decoded, context, options, class_names)
            some_rejected = listing.num_rejected or num_rejected
            unusable = rejects_of_all(spark, numbers, decoded, context) if some_rejected else ()
            rejects = write_rejects(heapq.merge(unusable, sorted(duplicates.rejected.items())), dataset)
            refuse_too_many(rejects, listing.num_images, options.max_rejects, dataset)
            conflicting = (image for members in duplicates.label_conflicts for image in members)
            num_rejected.update(image.kind for image in conflicting if image.source in duplicates.rejected)

            # ---- All of it may change where images go.
            placement = decide_placement(
                listing.num_per_kind, options, class_names, plan.has_validation, duplicates, num_rejected
            )

            # ---- Files that differ from what decoding wrote, from the encoded images; nothing is decoded again.
            shards = [shard for shard in decoded if isinstance(shard, WrittenShard)]
            if placement != plan.placement or len(shards) < len(decoded):
                context = replace(context, placement=placement)
                with counted_stage(spark, listener, "sorting", sum(shard.num_images for shard in decoded)) as count:
                    shards = rewrite_all(spark, decoded, context, count)

        # ---- The description, and last of all the manifest: from then on it is a dataset.
        size_bytes = work_folder.remove_other_images(dataset, [file for shard in shards for _, file in shard.files])
        manifest = describe(plan, placement, duplicates, shards, rejects, size_bytes, sample_bits)
        refuse_miscount(manifest)
        write_common_metadata(dataset, manifest)
        write_overview(dataset, manifest)
        work_folder.finish(dataset, manifest)
    return manifest


def deal_out(spark: "SparkSession", plan: Plan) -> tuple[list[int], ShardContext]:
    """Deal the images out to shards; return the numbers of these, and what a task must know."""
    listing, dataset, options = plan.listing, plan.dataset, plan.options
    decoding = Decoding(
        source=plan.layout.base,
        dataset=dataset,
        image_size=options.image_size,
        crop=options.crop,
        encoding=options.encoding,
        most_pixels=options.most_pixels,
        seed=options.seed,
        options_digest=options.decoding_digest(),
    )
    folder = work_folder.listing_folder(dataset)
    num_shards = num_shards_for(listing.num_images)
    known = plan.previous.shards if plan.previous else ()
    if plan.previous is None:
        numbers = listing.deal_out(folder, options.seed, num_shards)
    else:
        first_shard = 1 + max(map(number_of, known), default=-1)
        new_folder = work_folder.listing_folder(dataset, "new-listing")
        numbers = listing.deal_out(new_folder, options.seed, num_shards, first_shard)
        numbers = keep_known_shards(spark, new_folder, numbers, known, decoding, folder)
    context = ShardContext(
        decoding=decoding,
        placement=plan.placement,
        listing=folder,
        subjects_known=plan.layout.subjects_known,
        known_shards={number_of(name): name for name in known},
        earlier_files=work_folder.earlier_files(plan.previous),
    )
    return numbers, context


def describe(
    plan: Plan,
    placement: Placement,
    duplicates: Duplicates,
    shards: Sequence[WrittenShard],
    rejects: Mapping[str, int],
    size_bytes: int,
    sample_bits: int,
) -> Manifest:
    """Put the manifest together, once all files are written."""
    layout, listing, options = plan.layout, plan.listing, plan.options
    tallied = tally(entry for shard in shards for entry in shard.tallies)
    left_out = {source: reason for shard in shards for source, reason in shard.dropped.items()}
    dropped = {source: reason for source, reason in left_out.items() if source not in duplicates.rejected}
    leakage = leakage_report(placement, duplicates, tallied, dropped, layout, options)
    written = [file for shard in shards for file in shard.files]
    splits = split_summaries(tallied, written, layout.class_names, layout.subjects_known)
    described = layout.class_names, options.image_size, layout.subjects_known
    folds = fold_summaries(tallied, *described) if options.split == "k-fold" else {}
    mean, std = channel_moments(tallied, options.image_size)
    return Manifest(
        synthetic=plan.synthetic,
        source=plan.source,
        layout=layout.name,
        listing_digest=listing.digest,
        options=options.model_dump(mode="json"),
        versions=versions(),
        image_size=options.image_size,
        image_encoding=options.encoding,
        class_names=layout.class_names,
        positive_classes=layout.positive_classes,
        subjects_known=layout.subjects_known,
        channel_mean=mean,
        channel_std=std,
        splits=splits,
        folds=folds,
        leakage=leakage,
        listed=listing.num_images,
        written=sum(split.images for split in splits.values()),
        size_bytes=size_bytes,
        rejected=dict(rejects),
        dropped=len(dropped),
        unlabelled=listing.num_unlabelled,
        left_aside=dict(sorted(listing.left_aside.items())),
        other_files=dict(layout.other_files)
        | ({"image that the table does not name": listing.num_unnamed} if listing.num_unnamed else {}),
        marked=marked(mark for shard in shards for mark in shard.marks.items()),
        sample_bits=sample_bits,
        shards=tuple(sorted(shard.name for shard in shards)),
    )


def versions() -> dict[str, str]:
    """Return the versions of what decides the content of a dataset."""
    names = ("hvdcells", "numpy", "opencv-python-headless", "petastorm", "pyarrow", "pyspark", "xxhash")
    own = {"python": platform.python_version(), "decoding": DECODING_VERSION}
    return own | {name: version_of(name) or "missing" for name in names}
