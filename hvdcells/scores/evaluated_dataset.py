"""Which dataset was evaluated, and what another one than the run's own has in common with what the run saw."""

from dataclasses import dataclass


def shortened(digest: str) -> str:
    """Return what people are shown of a digest; it tells the datasets of a run apart too."""
    return digest[:12]


@dataclass(frozen=True)
class SharedImages:
    """What of the images evaluated is also in a split that the run saw."""

    images: int
    """Images evaluated whose pixels, as they came from the source, are those of an image that the run saw."""
    subjects: int | None
    """Names of subjects that are in both; None where one of the datasets names no subjects."""


@dataclass(frozen=True)
class OtherDataset:
    """How a dataset compares with the one that the run was trained on."""

    trained_on: str
    """Location of the run's own dataset when it was trained."""
    trained_on_digest: str
    image_size: int
    """Side of the evaluated images in pixels."""
    trained_on_image_size: int
    shared_with_train: SharedImages
    shared_with_validation: SharedImages

    @property
    def shares_anything(self) -> bool:
        """Whether an image or a subject evaluated is one that the run saw."""
        return any(both.images or both.subjects for both in (self.shared_with_train, self.shared_with_validation))


@dataclass(frozen=True)
class EvaluatedDataset:
    """The dataset whose split was evaluated."""

    location: str
    digest: str
    """`dataset_digest` of it; of the run's own dataset that of `run.json`."""
    validation_fold: int | None = None
    other: OtherDataset | None = None
    """None for the dataset that the run was trained on, or a copy of it."""

    @property
    def short_digest(self) -> str:
        """The digest, as people are shown it."""
        return shortened(self.digest)

    def sentences(self) -> list[str]:
        """Say in words what another dataset has in common with what the run saw; nothing of the run's own."""
        other = self.other
        if other is None:
            return []
        train, validation = other.shared_with_train, other.shared_with_validation
        said = [
            f"Another dataset than the run was trained on: {self.location}, digest {self.short_digest}; trained on: "
            f"{other.trained_on}, digest {shortened(other.trained_on_digest)}.",
            f"Images evaluated that are identical to images trained on: {train.images}; to images validated on: "
            f"{validation.images}.",
            f"Subjects evaluated whose names are those of subjects trained on: {train.subjects}; validated on: "
            f"{validation.subjects}."
            if train.subjects is not None
            else "Whether subjects are shared is not known: one of the datasets names none.",
        ]
        if other.shares_anything:
            said.append("What is shared is no test of the model: it flatters these scores.")
        if other.image_size != other.trained_on_image_size:
            said.append(
                f"The images have a side of {other.image_size} pixels, those trained on of "
                f"{other.trained_on_image_size}: the scores depend on that too."
            )
        return said
