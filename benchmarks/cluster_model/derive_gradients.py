"""Derives the table of gradients, layer by layer, from the models themselves.

    python -m benchmarks.cluster_model.derive_gradients

Writes `gradients.json`: for each model its layers in the order of the forward pass, each as [number of trainable
parameters, multiply-adds for one image]. Normalisation counts to the layer before it. Models whose name ends in
`_imagenet` are those of `tf_keras.applications` with their 1,000 classes, as published benchmarks trained them; the
others are this project's classifiers of 224×224 images.
"""

import json
from math import prod
from typing import Any

from benchmarks.cluster_model.gradients import TABLE

IMAGENET = ("inception_v3", "resnet101", "vgg16", "resnet50", "efficientnet_b0", "efficientnet_b4")
CLASSIFIERS = ("small_cnn", "mobilenet_v2", "efficientnet_b0", "resnet50", "resnet101", "inception_v3", "vgg16")


def layers_of(model: Any) -> list[list[int]]:
    """Return [trainable parameters, multiply-adds for one image] of each layer that has weights."""
    from hvdcells.rank.models.either_keras import inner_layers

    layers: list[list[int]] = []
    for layer in inner_layers(model):
        if not layer.trainable_weights:
            continue
        parameters = sum(prod(weight.shape) for weight in layer.trainable_weights)
        kernels = sum(prod(weight.shape) for weight in layer.trainable_weights if "kernel" in weight.name)
        multiply_adds = kernels * prod(layer.output_shape[1:-1])
        if multiply_adds or not layers:
            layers.append([parameters, multiply_adds])
        else:
            layers[-1][0] += parameters
    return layers


def main() -> None:
    """Build every model once and write the table."""
    import tf_keras

    from hvdcells.experiment import Model
    from hvdcells.experiment.backbones import application_names
    from hvdcells.rank.models import build_model

    table = {}
    for name in IMAGENET:
        build = getattr(tf_keras.applications, application_names()[name])
        table[f"{name}_imagenet"] = layers_of(build(weights=None))
    for name in CLASSIFIERS:
        table[name] = layers_of(build_model(Model(backbone=name), 224, (100.0,) * 3, (50.0,) * 3, seed=0))
    lines = ",\n".join(f'  "{name}": {json.dumps(layers, separators=(",", ":"))}' for name, layers in table.items())
    source = "tf_keras.applications 2.18 and hvdcells.rank.models; [trainable parameters, multiply-adds for one image]"
    TABLE.write_text(f'{{\n "source": "{source}",\n "models": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
