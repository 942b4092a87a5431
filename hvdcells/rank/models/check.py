"""Whether the model of a user's function can be trained, kept and used again: asked in a process of its own.

The driver starts it before anything else, since it never holds TensorFlow itself: what would end a run after minutes,
or only when its model is to be used, is told in seconds.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from hvdcells.errors import UserError, problems_in
from hvdcells.experiment import Model
from hvdcells.rank.models.classifier import build_model, load_model
from hvdcells.rank.models.either_keras import raw_variables
from hvdcells.rank.models.function import EXPECTED
from hvdcells.rank.models.saved import save_model

IMAGES = 2
"""Of a batch: of one alone, some layers take other ways."""


def check_model(options: Model, input_size: int, num_classes: int) -> None:
    """Build a model, take one step forward and back, save it and load it again.

    Raises:
        UserError: one of these does not work; or the loaded model gives other logits than the saved one.
    """
    name = options.backbone
    channels = ([127.5] * 3, [64.0] * 3)
    model = build_model(options, input_size, *channels, seed=0, num_classes=num_classes, load_weights=False)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (IMAGES, input_size, input_size, 3)), tf.float32)
    labels = tf.zeros((IMAGES,), tf.int32)
    with _told(name, "cannot take a training step", "correct the function"), tf.GradientTape() as tape:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
    gradients = tape.gradient(loss, raw_variables(model.trainable_variables))
    if all(gradient is None for gradient in gradients):
        raise UserError(f"{name}: no weight of its model has a gradient", EXPECTED, "correct the function")
    remedy = "build it of layers that Keras can save and that are the same at each call; Lambda layers are none"
    with tempfile.TemporaryDirectory() as folder, _told(name, "cannot be saved and loaded again", remedy):
        location = str(Path(folder) / "model.keras")
        save_model(model, location)
        again = load_model(options, location)
        if not np.allclose(model(images, training=False), again(images, training=False), rtol=1e-3, atol=1e-3):
            raise ValueError("the loaded model gives other logits")


@contextmanager
def _told(name: str, what: str, remedy: str) -> Iterator[None]:
    """Tell whatever is raised in the block as the function's, in one line."""
    try:
        yield
    except Exception as error:
        why = error.given if isinstance(error, UserError) else (str(error).strip().splitlines() or [""])[0]
        given = f"the model of {name} {what}: {why[:300]} ({type(error).__name__})"
        raise UserError(given, EXPECTED, remedy) from error


def main() -> None:
    """Check what standard input asks for; tell what is wrong as JSON on standard output."""
    asked = json.load(sys.stdin)
    try:
        check_model(Model.model_validate(asked["model"]), asked["input_size"], asked["num_classes"])
        problems = []
    except UserError as error:
        problems = [[each.given, each.expected, each.remedy] for each in problems_in(error)]
    json.dump(problems, sys.stdout)


if __name__ == "__main__":
    main()
