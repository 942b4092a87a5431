"""Options that several sub-commands share, and how their text becomes values."""

from collections.abc import Iterable
from typing import Annotated

import typer

from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, recipes
from launch.stages import RECIPE_HELP, SETTINGS_HELP

Master = Annotated[
    str | None,
    typer.Option(
        help="Spark master, such as spark://host:7077, yarn or local-cluster[2,1,2048]. Left out: this machine.",
        show_default=False,
    ),
]
Conf = Annotated[
    list[str] | None,
    typer.Option(
        "--conf",
        metavar="KEY=VALUE",
        help="A Spark setting, such as spark.executor.memory=4g; may be repeated.",
        show_default=False,
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        metavar="mlflow:URI",
        help="An MLflow server that is told how runs go on, such as mlflow:http://host:5000.",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Ranks that train together; each takes one Spark task slot.")]

Recipe = Annotated[str, typer.Option(help=RECIPE_HELP)]
TrustCode = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-code",
        metavar="MODULE",
        help="A module of which RUN itself may name a function to build its model with. Repeatable.",
        show_default=False,
    ),
]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help=SETTINGS_HELP)]


def chosen_experiment(recipe: str | None, settings: list[str] | None, default: Experiment | None = None) -> Experiment:
    """Return the experiment of a recipe with single fields changed; without a recipe, the default or the small CNN.

    Raises:
        UserError: no such recipe, or settings that do not fit.
    """
    experiment = recipes.by_name(recipe) if recipe else default or recipes.small_cnn()
    return experiment.override(parse_settings(settings or []))


def parse_settings(settings: list[str]) -> dict[str, str]:
    """Turn the `FIELD=VALUE` texts of --set into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a field given twice.
    """
    return parse_pairs("--set", settings)


def parse_conf(settings: list[str] | None) -> dict[str, str]:
    """Turn the `KEY=VALUE` texts of --conf into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a key given twice.
    """
    return parse_pairs("--conf", settings or [])


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Turn the `KEY=VALUE` texts of an option into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a key given twice.
    """
    word, example = _EXAMPLES[option]
    problems: list[UserError] = []
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key or key in values:
            problems.append(
                UserError(
                    f"{option} {text}" + (" is given a second time" if key in values else ""),
                    f"{word.upper()}=VALUE, each {word} once, such as {option} {example}",
                    f"correct this {option}",
                )
            )
        values[key] = value.strip()
    raise_together(problems)
    return values


_EXAMPLES = {
    "--set": ("field", "optimizer.learning_rate=0.01"),
    "--conf": ("key", "spark.executor.memory=4g"),
    "--map-class": ("class", "early=blast"),
    "--tag": ("key", "team=haematology"),
}
"""Of each option that takes pairs: what stands before the equals sign, and one that could be given."""
