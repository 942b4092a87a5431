"""A classifier without TensorFlow, of known probabilities, for tests of all that is around a model."""

import numpy as np

from hvdcells.images.prepare import ImagePreparation
from hvdcells.inference.classifier import Classifier
from hvdcells.scores.decision import Decision


def decision_of(class_names):
    return Decision(
        class_names=class_names,
        positive_classes=class_names[1:2],
        temperature=2.0,
        thresholds={"0.5": 0.5, "youden": 0.3},
        chosen="youden",
        refer=(0.2, 0.6),
        subject_rule="median",
    )


def mean_classifier(run="nowhere", class_names=("hem", "all"), batch_size=8, digest="d" * 64):
    """Return a classifier whose logits are 0 and the mean red value of the image less 100 (twice less, … for more)."""

    def forward(images):
        assert images.shape == (batch_size, 8, 8, 3)
        red = images[..., 0].mean(axis=(1, 2), dtype=np.float64) - 100
        return np.stack([number * red for number in range(len(class_names))], axis=1).astype(np.float32)

    return Classifier(
        run=run,
        class_names=class_names,
        positive_classes=class_names[1:2],
        preparation=ImagePreparation(crop=0, image_size=8, input_size=8),
        batch_size=batch_size,
        model_digest=digest,
        decision=decision_of(class_names),
        synthetic=True,
        forward=forward,
    )
