"""What `tf_keras` and Keras 3 have in common, as far as training needs it."""

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import tensorflow as tf
import tf_keras


def keras_of(model: Any) -> ModuleType:
    """Return the Keras a model is of: `tf_keras` or Keras 3, which have the same names for what we use.

    Raises:
        TypeError: it is no Keras model.
    """
    if isinstance(model, tf_keras.Model):
        return importlib.import_module("tf_keras")
    import keras

    if isinstance(model, keras.Model):
        return importlib.import_module("keras")
    raise TypeError(f"{type(model).__name__} is no Keras model")


def raw_variables(variables: Iterable[Any]) -> list[tf.Variable]:
    """Return the variables as TensorFlow and Horovod know them; those of Keras 3 are wrapped."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def inner_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models inside it, in order, without these models themselves."""
    for layer in model.layers:
        if isinstance(layer, keras_of(model).Model):
            yield from inner_layers(layer)
        else:
            yield layer


def moving_statistics(model: Any) -> list[tf.Variable]:
    """Return the variables that training changes and the optimizer does not: those of batch normalisation.

    Frozen layers have none: they keep theirs.
    """
    found = [v for layer in inner_layers(model) if layer.trainable for v in layer.non_trainable_variables]
    return [variable for variable in raw_variables(found) if variable.dtype.is_floating]
