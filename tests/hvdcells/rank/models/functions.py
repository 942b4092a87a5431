"""Functions that return models, as users write them for `model.backbone=package.module:function`."""


def keras3_features(input_size):
    import keras

    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3)),
            keras.layers.Conv2D(4, 3, strides=2, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Conv2D(6, 3, strides=2, name="second"),
        ]
    )


def keras3_classifier(input_size):
    import keras

    inputs = keras.Input((input_size, input_size, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(features))


def tf_keras_classifier(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    features = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Conv2D(4, 3)(inputs))
    return tf_keras.Model(inputs, tf_keras.layers.Dense(1)(features))


def classifier_of_three(input_size, activation=None):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    features = tf_keras.layers.GlobalAveragePooling2D()(inputs)
    return tf_keras.Model(inputs, tf_keras.layers.Dense(3, activation)(features))


def ends_in_softmax(input_size):
    return classifier_of_three(input_size, "softmax")


def tf_keras_features(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Conv2D(5, 3)(inputs))


def ends_in_sigmoid(input_size):
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.layers.Input((input_size, input_size, 3)),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(1, "sigmoid"),
        ]
    )


def for_other_sizes(_):
    import tf_keras

    inputs = tf_keras.Input((99, 99, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Conv2D(5, 3)(inputs))


def no_model(input_size):
    return input_size


def with_control_flow(input_size):
    import tensorflow as tf
    import tf_keras

    class Brighten(tf_keras.layers.Layer):
        def call(self, images):
            if tf.reduce_mean(images) < 100:
                return images * 2
            return images

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Conv2D(5, 3)(Brighten()(inputs)))


def with_random_layers(input_size):
    """A Keras 3 model whose state of random layers is among its variables, and one without a size of its own."""
    import keras

    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3)),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Conv2D(4, 3, strides=2),
            keras.layers.SpatialDropout2D(0.2),
        ]
    )


def with_lambda(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Lambda(lambda x: x[:, ::2])(tf_keras.layers.Conv2D(5, 3)(inputs)))


def other_at_each_call(input_size):
    """Weights that are no part of the model: what is built again is another."""
    import numpy as np
    import tf_keras

    factor = float(np.random.default_rng().uniform(1, 2))
    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Conv2D(5, 3)(tf_keras.layers.Rescaling(factor)(inputs)))


def of_three_dimensions(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Reshape((-1, 3))(inputs))


def of_two_outputs(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, [tf_keras.layers.Flatten()(inputs), tf_keras.layers.Flatten()(inputs)])


def without_weights(input_size):
    import tf_keras

    inputs = tf_keras.Input((input_size, input_size, 3))
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2, trainable=False)(tf_keras.layers.Flatten()(inputs)))
