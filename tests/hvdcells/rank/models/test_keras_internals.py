"""What reaches into Keras works, and Keras still has no public way to it."""

import pytest
import tensorflow as tf
import tf_keras

from hvdcells.rank.models.keras_internals import loss_scale_variables, random_generators, with_converted_layers
from hvdcells.rank.random_layers import make_random_layers_seedable

pytestmark = pytest.mark.tensorflow


def test_the_loss_scale_is_found_and_still_not_among_the_optimizers_variables():
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.Adam())
    optimizer.build([tf.Variable(1.0)])
    scale, counter = loss_scale_variables(optimizer)
    assert float(scale) == float(optimizer.loss_scale)
    scale.assign(8.0)
    assert float(optimizer.loss_scale) == 8.0
    assert counter is optimizer.dynamic_counter
    assert not {scale.ref(), counter.ref()} & {variable.ref() for variable in optimizer.variables}


def test_an_optimizer_without_a_loss_scale_has_none():
    assert loss_scale_variables(tf_keras.optimizers.Adam()) == []


def test_generators_are_found_in_nested_models_and_still_not_among_the_models_variables():
    make_random_layers_seedable()
    inner = tf_keras.Sequential([tf_keras.layers.Dropout(0.5)])
    model = tf_keras.Sequential([tf_keras.layers.Input((64,)), tf_keras.layers.Dropout(0.5), inner])
    first, second = random_generators(model)
    before = [first.state.numpy().tolist(), second.state.numpy().tolist()]
    model(tf.ones((1, 64)), training=True)
    after = [first.state.numpy().tolist(), second.state.numpy().tolist()]
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert not {first.state.ref(), second.state.ref()} & {variable.ref() for variable in model.variables}


class Brighten(tf_keras.layers.Layer):
    def call(self, images):
        if tf.reduce_mean(images) < 100:
            return images * 2
        return images


def test_layers_of_the_user_are_converted_in_a_function_that_is_not_and_only_so():
    inputs = tf_keras.Input((2, 2, 3))
    model = tf_keras.Model(inputs, Brighten()(inputs))
    converted = tf.function(with_converted_layers(model), autograph=False)
    for value, expected in ((50.0, 100.0), (200.0, 200.0)):
        assert float(converted(tf.fill((1, 2, 2, 3), value))[0, 0, 0, 0]) == expected
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        tf.function(lambda images: model(images), autograph=False)(tf.ones((1, 2, 2, 3)))
