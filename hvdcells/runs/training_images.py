"""Which images and subjects a run was trained and validated on, kept with it to compare other datasets with."""

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory
from hvdcells.scores.evaluated_dataset import OtherDataset, SharedImages

COLUMNS = ("subject", "content_hash")


def keep_training_images(run: RunDirectory, dataset: Dataset) -> None:
    """Write subject and content hash of each image that the run sees: the dataset is often overwritten in place.

    Args:
        run: that begins.
        dataset: as its experiment sees it, with its fold and its share of the training images.
    """
    import pandas as pd

    from hvdcells.storage import parquet

    splits = [name for name in ("train", "validation") if name in dataset.manifest.splits]
    there = [name for name in splits if dataset.manifest.splits[name].images]  # no validation where folds are
    parts = [dataset.read_rows(split, COLUMNS).assign(split=split) for split in there]
    parquet.write_rows(run.training_images, pd.concat(parts, ignore_index=True))


def compare_with_training(run: RunDirectory, dataset: Dataset, split: str) -> OtherDataset:
    """Compare a split of another dataset with what a run was trained and validated on.

    Raises:
        UserError: the dataset has other classes or no such split, or the run does not say what it saw.
    """
    from hvdcells.storage import parquet

    own = run.read_json(run.run)["dataset"]
    if not storage.exists(run.training_images):
        raise UserError(
            f"{run.training_images} is not there: an earlier version made the run, or this is not the whole of it",
            "the list of what was trained on, lest images or subjects that are in it pass for a test",
            "evaluate the run on the dataset it was trained on, name the whole run, or train it again",
        )
    class_names = dataset.manifest.class_names
    if list(class_names) != own["class_names"]:
        raise UserError(
            f"the dataset {dataset.location} has the classes {', '.join(class_names)}",
            f"those that the run {run.location} was trained on, in that order: {', '.join(own['class_names'])}",
            "name a dataset with these classes",
        )
    seen, evaluated = parquet.read_rows(run.training_images), dataset.read_rows(split, COLUMNS)
    subjects_known = own["subjects_known"] and dataset.manifest.subjects_known

    def shared_with(part: str) -> SharedImages:
        of_part = seen[seen["split"] == part]
        return SharedImages(
            images=int(evaluated["content_hash"].isin(of_part["content_hash"]).sum()),
            subjects=len(set(evaluated["subject"]) & set(of_part["subject"])) if subjects_known else None,
        )

    return OtherDataset(
        trained_on=own["location"],
        trained_on_digest=own["digest"],
        image_size=dataset.manifest.image_size,
        trained_on_image_size=own["image_size"],
        shared_with_train=shared_with("train"),
        shared_with_validation=shared_with("validation"),
    )
