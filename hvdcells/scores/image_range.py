"""How far an image lies from those a model was validated on: by its colours, and by the features the head is given.

Both are distances of Mahalanobis to the nearest class mean with one covariance for all classes (Lee et al. 2018,
arXiv 1807.03888), which is that of probabilistic PCA: the largest variances by axis, and for all other directions their
mean (Tipping and Bishop 1999). So few images suffice for many features. NumPy alone is needed, for servers too.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from hvdcells.scores.formulas import Floats

MOST_SAMPLED = 1000
"""Validation images that the statistics are of."""
MOST_AXES = 32
NUM_COLORS = 6
PERCENTILE = 99
NUM_PARTS = 5
"""Each part of the subjects is measured against the others: images that a covariance was fitted on lie too near."""


def _unpacked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        content = np.frombuffer(base64.b64decode(value["float32"], validate=True), "<f4")
        return content.reshape(value["shape"]).astype(np.float64)
    except (LookupError, TypeError) as error:
        raise ValueError(f"no array: {error}") from error


def _packed(array: Floats) -> dict[str, Any]:
    return {"shape": list(array.shape), "float32": base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")}


Array = Annotated[Any, BeforeValidator(_unpacked), PlainSerializer(_packed)]
"""Floats, in JSON as float32 in base64."""


class Spread(BaseModel):
    """Where the images of the classes lie, in some features."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    means: Array
    """Of the classes, (classes, features)."""
    axes: Array
    """Of the largest variances, (axes, features), of length 1."""
    variances: Array
    """By axis, (axes,)."""
    rest: Annotated[float, Field(gt=0)]
    """Variance in each other direction."""
    limit: Annotated[float, Field(gt=0)] = 1.0
    """The 99th percentile of the distances of validation images."""

    @model_validator(mode="after")
    def _fits(self) -> "Spread":
        shapes = [np.shape(each) for each in (self.means, self.axes, self.variances)]
        if (
            [len(shape) for shape in shapes] != [2, 2, 1]
            or shapes[0][1] != shapes[1][1]
            or shapes[1][0] != shapes[2][0]
        ):
            raise ValueError(f"means, axes and variances of shapes {shapes} do not fit together")
        return self

    def ratio(self, values: NDArray[Any]) -> Floats:
        """Return distances (n,) of features (n, features), as multiples of the limit: above 1 is out of range."""
        found = []
        for mean in self.means:
            off = np.asarray(values, np.float64) - mean
            along = off @ self.axes.T
            beside = np.maximum((off**2).sum(axis=1) - (along**2).sum(axis=1), 0)
            found.append((along**2 / self.variances).sum(axis=1) + beside / self.rest)
        return np.asarray(np.sqrt(np.min(found, axis=0))) / self.limit

    @classmethod
    def fit(cls, values: NDArray[Any], labels: NDArray[np.int_], groups: Sequence[str]) -> "Spread":
        """Fit the spread of images, and the limit on groups that it was not fitted on.

        Args:
            values: float (n, features), n ≥ 2.
            labels: class of each image.
            groups: subject of each; each image its own where subjects are unknown.
        """
        values = np.asarray(values, np.float64)
        part = np.unique(groups, return_inverse=True)[1] % NUM_PARTS
        apart = [
            cls._covariance(values[part != one], labels[part != one]).ratio(values[part == one])
            for one in np.unique(part)
            if (part != one).sum() > 1
        ]
        spread = cls._covariance(values, labels)
        # Their own limits are 1 as yet.
        distances = np.concatenate(apart) if apart else spread.ratio(values)
        limit = float(np.percentile(distances, PERCENTILE, method="higher"))
        return spread.model_copy(update={"limit": max(limit, 1e-9)})

    @classmethod
    def _covariance(cls, values: Floats, labels: NDArray[np.int_]) -> "Spread":
        present = np.unique(labels)
        means = np.stack([values[labels == label].mean(axis=0) for label in present])
        off = values - means[np.searchsorted(present, labels)]
        num_images, num_features = off.shape
        num_axes = min(num_features, MOST_AXES, max(1, num_images // 10))
        # Of the smaller of the two products, whose eigenvectors tell those of the other: a second, not many.
        wide = num_images <= num_features
        squares, vectors = np.linalg.eigh(off @ off.T if wide else off.T @ off)
        squares, axes = squares[: -num_axes - 1 : -1].clip(0), vectors.T[: -num_axes - 1 : -1]
        if wide:
            axes = axes @ off / np.sqrt(np.maximum(squares, 1e-30))[:, None]
        freedom, total = max(1, num_images - len(present)), float((off**2).sum())
        least = 1e-6 * total / freedom / num_features + 1e-12
        rest = (total - float(squares.sum())) / freedom / max(1, num_features - num_axes)
        return cls(means=means, axes=axes, variances=np.maximum(squares / freedom, least), rest=max(rest, least))


class ImageRange(BaseModel):
    """What tells images unlike those that a model was validated on. `RUN/range.json` holds one.

    Of 2,048 features and 20 classes it has 0.6 MB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Annotated[int, Field(gt=1, le=MOST_SAMPLED)]
    """Validation images that it was fitted on."""
    colors: Spread
    features: Spread | None
    """None where the model is a function of the user's that gives logits itself."""

    @classmethod
    def fit(
        cls, colors: NDArray[Any], features: NDArray[Any] | None, labels: NDArray[np.int_], groups: Sequence[str]
    ) -> "ImageRange":
        """Fit both; arguments as of `Spread.fit`, the colours those of `colors_of`. Colours know no classes."""
        return cls(
            images=len(colors),
            colors=Spread.fit(colors, np.zeros(len(colors), int), groups),
            features=None if features is None else Spread.fit(features, labels, groups),
        )


def colors_of(images: NDArray[np.uint8]) -> Floats:
    """Return mean and standard deviation of R, G and B, (n, 6), of images (n, height, width, 3)."""
    import cv2  # many times faster than NumPy here, and `import hvdcells` is to load little

    return np.array([np.concatenate(cv2.meanStdDev(image))[:, 0] for image in images]).reshape(-1, NUM_COLORS)


def sampled_rows(num_images: int) -> NDArray[np.int_]:
    """Return the rows of the validation images that a range is fitted on: evenly spaced, at most `MOST_SAMPLED`."""
    rows = np.linspace(0, num_images - 1, min(num_images, MOST_SAMPLED))
    return np.asarray(np.unique(rows.round().astype(int)))
