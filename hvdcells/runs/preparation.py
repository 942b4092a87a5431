"""What was done to the images a run was trained on, kept with it so that prediction does exactly that.

Datasets are moved, deleted and written anew in place; the run must know by itself.
"""

from hvdcells import storage
from hvdcells.data.manifest import Manifest
from hvdcells.errors import UserError, fields_refused
from hvdcells.experiment import Experiment
from hvdcells.images.prepare import ImagePreparation
from hvdcells.runs.directory import RunDirectory

TRAIN_AGAIN = "train the run again, on a dataset that `hvdcells etl` of this version has written"


def preparation_of(manifest: Manifest, experiment: Experiment) -> ImagePreparation | None:
    """Return what the ETL and the ranks' reader do to an image; None where the manifest does not say."""
    if "crop" not in manifest.options:
        return None
    return ImagePreparation(
        crop=manifest.options["crop"],
        image_size=manifest.image_size,
        input_size=experiment.data.input_size or manifest.image_size,
        sample_bits=manifest.sample_bits,
    )


def keep_preparation(run: RunDirectory, manifest: Manifest, experiment: Experiment) -> None:
    """Write the preparation of a run that begins; nothing where the manifest does not say."""
    preparation = preparation_of(manifest, experiment)
    if preparation is not None:
        storage.write_text(run.preparation, preparation.model_dump_json(indent=1) + "\n")


def read_preparation(run: RunDirectory) -> ImagePreparation:
    """Return the preparation of a run.

    Raises:
        UserError: the run does not say how its images were made, or says it in another way than this version.
    """
    try:
        text = storage.read_text(run.preparation)
    except FileNotFoundError:
        raise UserError(
            f"{run.preparation} is not there: an earlier version made the run, or its dataset did not say",
            "how images were cropped and resized before training, since others would be judged wrongly",
            TRAIN_AGAIN,
        ) from None
    with fields_refused(f"{run.preparation} is not what this version reads: ", TRAIN_AGAIN):
        return ImagePreparation.model_validate_json(text)
