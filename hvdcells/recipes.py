"""Recipes: functions that return an experiment. `hvdcells train --recipe NAME` takes one by its name.

hvdcells train DATASET RUN --recipe small_cnn --workers 2
hvdcells train DATASET RUN --recipe mobilenet_v2 --workers 8 --set training.epochs=30
"""

from collections.abc import Callable

from hvdcells.errors import UserError
from hvdcells.experiment import Augmentation, Data, Experiment, Model, Optimizer, Training


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


RECIPES: dict[str, Callable[[], Experiment]] = {recipe.__name__: recipe for recipe in (small_cnn, mobilenet_v2)}


def by_name(name: str) -> Experiment:
    """Return the experiment of the recipe of that name.

    Raises:
        UserError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}", "one of " + ", ".join(RECIPES), "correct --recipe")
    return RECIPES[name]()
