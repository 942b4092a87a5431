"""The classifier of a finished run. It prepares images by the functions that the ETL and the ranks' reader use."""

import hashlib
import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.data.manifest import default_positive_classes
from hvdcells.errors import UserError
from hvdcells.images.decode import Pixels, Unreadable, read_image
from hvdcells.images.prepare import ImagePreparation, use_one_thread
from hvdcells.inference.reading import prefetched
from hvdcells.runs.decision import read_decision
from hvdcells.runs.directory import RunDirectory, checked_views
from hvdcells.runs.image_range import read_range
from hvdcells.runs.preparation import read_preparation
from hvdcells.spark.backends.entry import import_tensorflow

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from hvdcells.inference.transformer import CellTransformer
    from hvdcells.scores.decision import Decision
    from hvdcells.scores.image_range import ImageRange

Image = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A path or address, the bytes of a file, or pixels (RGB uint8, shape (height, width, 3))."""


class Batch(NamedTuple):
    """Images on their way into the model, prepared; some may not be usable."""

    images: Pixels
    """RGB uint8 of shape (batch size, input size, input size, 3); what is beyond the usable images is any of them."""
    reasons: list[str]
    """By image given: empty, or why it cannot be used."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Booleans by image given."""
        return np.array([not reason for reason in self.reasons], bool)


@dataclass(frozen=True)
class Classifier:
    """A model in use. Make one with `Classifier.load`."""

    run: str
    class_names: tuple[str, ...]
    positive_classes: tuple[str, ...]
    """Classes that count as ill."""
    preparation: ImagePreparation
    batch_size: int
    """Images that go into the model at once, as in `evaluate`: short batches are filled up."""
    model_digest: str
    """SHA-256 of the run's model file; of an ensemble, of the digests of its files."""
    decision: "Decision"
    """The run's own: temperature, threshold, refer band, rule from images to subject."""
    synthetic: bool
    """It was trained on demonstration cells."""
    forward: Callable[[Pixels], NDArray[np.float32]]
    """From images (batch size, input size, input size, 3), RGB uint8, to logits (batch size, K)."""
    trusted_code: tuple[str, ...] = ()
    """Modules of which the run may name a function."""
    num_views: int = 1
    """Of each image, whose probabilities are averaged."""
    heat_maps: Callable[[Pixels, NDArray[np.int_]], tuple[dict[str, NDArray[np.float32]], str]] | None = None
    """From images and the classes to explain to maps by method, and the layer read; None where it cannot explain."""
    looks: Callable[[Pixels], tuple[NDArray[np.float32], NDArray[np.float32] | None]] | None = None
    """As `forward`, with the features of the head beside the logits; needed where there is a range."""
    range: "ImageRange | None" = None
    """What tells images unlike those that the run was validated on; None where the run does not know."""

    @classmethod
    def load(
        cls,
        run: RunDirectory | str | os.PathLike[str],
        threads: int | None = None,
        trust_code: Collection[str] = (),
        tta: int = 1,
    ) -> Self:
        """Load the best model of a finished run. TensorFlow is imported now.

        Args:
            run: the run directory, local or at an address.
            threads: of TensorFlow, where it has not been used yet in this process; None for one a core.
            trust_code: modules of which the run's own description may name a function.
            tta: 8 to average over the flips and turns of each image.

        Raises:
            UserError: there is no finished run, or it does not say how its images were prepared, or it names a
                function of a module that is not trusted.
        """
        directory = (run if isinstance(run, RunDirectory) else RunDirectory.at(run)).trusting(trust_code)
        experiment, preparation = directory.read_experiment(), read_preparation(directory)
        noted = directory.read_json(directory.run)["dataset"]
        names = tuple(noted["class_names"])
        import_tensorflow()
        from hvdcells.inference.loading import load_run

        loaded = load_run(directory, experiment, threads, checked_views(tta))
        return cls(
            run=directory.location,
            class_names=names,
            positive_classes=tuple(noted.get("positive_classes", default_positive_classes(names))),
            preparation=preparation,
            batch_size=experiment.data.batch_size,
            model_digest=model_digest(directory),
            decision=read_decision(directory)[0],
            synthetic=noted["synthetic"],
            forward=loaded.forward,
            heat_maps=loaded.heat_maps,
            looks=loaded.looks,
            range=read_range(directory),
            trusted_code=directory.trusted_code,
            num_views=tta,
        )

    def predict(self, images: Sequence[Image]) -> "pd.DataFrame":
        """Predict some images, in memory or by their paths.

        Returns:
            One row an image, in order: `path` (empty where none was given), `logit_<class>`, `probability_<class>` and
            `calibrated_<class>` by class, `called` (the likeliest class), `decision` and `refer` by the run's decision,
            `RANGE_COLUMNS`, and `reason`: why an image that cannot be used has no probabilities (NaN) and no call.
        """
        import pandas as pd

        given = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        columns = [self.columns(batch) for batch in self._batches(given, self._load)]
        merged = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]} if columns else {}
        paths = [os.fspath(each) if isinstance(each, str | os.PathLike) else "" for each in images]
        return pd.DataFrame({"path": paths, **merged}, columns=["path", *self.column_names])

    def transform(self, df: "DataFrame") -> "DataFrame":
        """Predict the images of a Spark DataFrame with a column `content` (as of `binaryFile`) or `path`."""
        return self.transformer().transform(df)

    def transformer(self) -> "CellTransformer":
        """Return a Spark ML Transformer of the run, which can stand in a Pipeline and be saved with it."""
        from hvdcells.inference.transformer import CellTransformer

        made = CellTransformer(run=self.run, tta=self.num_views)
        made.trusted_code = self.trusted_code  # not among its parameters, which are saved and come from elsewhere
        return made

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that `columns` returns, in order."""
        return output_columns(self.class_names)

    def predict_files(
        self, batches: Iterable[Sequence[str]], source: str
    ) -> Generator[dict[str, NDArray[Any]], None, None]:
        """Yield what `columns` returns for one batch of files after another; reading goes on meanwhile.

        Args:
            batches: paths below the source, absolute ones or addresses; at most `batch_size` a batch.
            source: location of the source.
        """
        for batch in self._batches(batches, lambda path: read_image(path, source), storage.is_local(source)):
            yield self.columns(batch)

    def columns(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """Predict a batch: the columns of `output_columns`, NaN and empty where unusable."""
        # Here and not above: `import hvdcells` is to be quick.
        from hvdcells.scores.image_range import colors_of
        from hvdcells.scores.prediction_table import probabilities_of
        from hvdcells.scores.scorer import called

        usable = batch.usable
        num_usable, num_classes = int(usable.sum()), len(self.class_names)
        logits = np.full((len(usable), num_classes), np.nan, np.float32)
        probabilities = np.full((len(usable), num_classes), np.nan)
        calibrated, calls = probabilities.copy(), np.full(len(usable), "", object)
        decided, refer = calls.copy(), np.zeros(len(usable), bool)
        color_range, feature_range = np.full((2, len(usable)), np.nan)
        if num_usable:
            found, features = (self.forward(batch.images), None) if self.looks is None else self.looks(batch.images)
            logits[usable] = found[:num_usable]
            if self.range is not None:
                color_range[usable] = self.range.colors.ratio(colors_of(batch.images[:num_usable]))
                if self.range.features is not None and features is not None:
                    feature_range[usable] = self.range.features.ratio(features[:num_usable])
            probabilities[usable] = probabilities_of(logits[usable])
            calls[usable] = np.array(self.class_names, object)[called(probabilities[usable])]
            calibrated[usable] = self.decision.probabilities(logits[usable])
            decided[usable], refer[usable] = self.decision.decided(calibrated[usable])
        return {
            **{f"logit_{name}": logits[:, label] for label, name in enumerate(self.class_names)},
            **{f"probability_{name}": probabilities[:, label] for label, name in enumerate(self.class_names)},
            **{f"calibrated_{name}": calibrated[:, label] for label, name in enumerate(self.class_names)},
            "called": calls,
            "decision": decided,
            "refer": refer,
            "color_range": color_range,
            "feature_range": feature_range,
            "out_of_range": (color_range > 1) | (feature_range > 1),
            "reason": np.array(batch.reasons, object),
        }

    def _batches(
        self, batches: Iterable[Sequence[Any]], read: Callable[[Any], bytes | str | Pixels], local: bool = True
    ) -> Iterator[Batch]:
        use_one_thread()
        return prefetched(lambda members: self._prepare(map(read, members)), batches, local)

    def _prepare(self, contents: Iterable[bytes | str | Pixels]) -> Batch:
        side = self.preparation.input_size
        images, reasons, num_usable = np.zeros((self.batch_size, side, side, 3), np.uint8), [], 0
        for content in contents:
            try:
                if isinstance(content, str):
                    raise Unreadable(content)
                if isinstance(content, bytes):
                    images[num_usable] = self.preparation.of_content(content)
                else:
                    images[num_usable] = self.preparation.of_pixels(content)
                num_usable += 1
                reasons.append("")
            except Unreadable as verdict:
                reasons.append(str(verdict))
        return Batch(images, reasons)

    def _load(self, image: Image) -> bytes | str | Pixels:
        if isinstance(image, str | os.PathLike):
            return read_image(storage.absolute(image), "")
        if isinstance(image, np.ndarray) and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3):
            raise UserError(
                f"an image that is {image.dtype} of shape {image.shape}",
                "RGB uint8 of shape (height, width, 3), as `hvdcells.images.decode.decode` returns",
                "convert it, or give the file's path or bytes",
            )
        return image


RANGE_COLUMNS = ("color_range", "feature_range", "out_of_range")
"""Distances from validation images as multiples of their 99th percentile, NaN if not known; whether one is above 1."""


def output_columns(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of predictions: logits, probabilities and calibrated ones by class, what follows, `reason`."""
    by_class = [f"{kind}_{name}" for kind in ("logit", "probability", "calibrated") for name in class_names]
    return (*by_class, "called", "decision", "refer", *RANGE_COLUMNS, "reason")


def model_digest(run: RunDirectory) -> str:
    """Return the SHA-256 of a run's model file; of an ensemble, that of the digests of its files."""
    digests = [hashlib.sha256(storage.read_bytes(location)).hexdigest() for location in run.models()]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
