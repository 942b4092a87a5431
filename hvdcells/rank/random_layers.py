"""Randomness inside layers, such as dropout, as a function of seed, epoch and rank."""

import numpy as np
import tf_keras

from hvdcells.rank.models.keras_internals import random_generators


def make_random_layers_seedable() -> None:
    """Let the random layers that are built from now on keep their state where it can be set.

    The default of Keras 2 keeps it inside the operation: a run that goes on would draw its first masks again, and all
    ranks draw the same ones.
    """
    tf_keras.backend.experimental.enable_tf_random_generator()


def seed_random_layers(model: tf_keras.Model, *entropy: int) -> None:
    """Set the state of every random layer of a model that was built after `make_random_layers_seedable`.

    Args:
        model: a `tf_keras` model. The random state of a Keras 3 model is among its variables and needs none of this.
        entropy: numbers of which the states are a function, such as seed, epoch and rank.
    """
    for number, generator in enumerate(random_generators(model)):
        (state,) = np.random.SeedSequence((*entropy, number)).generate_state(1, np.uint64)
        generator.reset_from_seed(int(state) >> 1)  # TensorFlow takes a signed number
