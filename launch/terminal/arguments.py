"""Options that several sub-commands share, and how their text becomes values."""

from typing import Annotated

import typer

from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, recipes

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
Workers = Annotated[int, typer.Option(min=1, help="Ranks that train together; each takes one Spark task slot.")]

Recipe = Annotated[str, typer.Option(help=f"One of: {', '.join(recipes.RECIPES)}.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change one field of the recipe, such as optimizer.learning_rate=0.01 or data.batch_size=64; may be "
        "repeated. `hvdcells train DATASET RUN --list-fields` prints all fields with the recipe's values.",
    ),
]


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
    return _parse_pairs("--set", "FIELD=VALUE, each field once, such as --set optimizer.learning_rate=0.01", settings)


def parse_conf(settings: list[str] | None) -> dict[str, str]:
    """Turn the `KEY=VALUE` texts of --conf into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a key given twice.
    """
    return _parse_pairs("--conf", "KEY=VALUE, each key once, such as --conf spark.executor.memory=4g", settings or [])


def parse_pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """Turn the `KEY=VALUE` texts of an option into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a key given twice.
    """
    return _parse_pairs(option, f"KEY=VALUE, each key once, such as {option} team=haematology", texts or [])


def _parse_pairs(option: str, expected: str, settings: list[str]) -> dict[str, str]:
    problems, values = [], {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        field = field.strip()
        if not equals or not field or field in values:
            problems.append(
                UserError(
                    f"{option} {setting}" + (" is given a second time" if field in values else ""),
                    expected,
                    f"correct this {option}",
                )
            )
        values[field] = value.strip()
    raise_together(problems)
    return values
