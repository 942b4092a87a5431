"""Options that several sub-commands share, and how their text becomes values."""

from typing import Annotated

import typer

from hvdcells.errors import UserError, raise_together

Master = Annotated[
    str | None,
    typer.Option(
        help="Spark master, such as spark://host:7077, yarn or local-cluster[2,1,2048]. Left out: this machine.",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Ranks that train together; each takes one Spark task slot.")]


def parse_settings(settings: list[str]) -> dict[str, str]:
    """Turn `FIELD=VALUE` texts into a dictionary.

    Raises:
        UserError: texts without an equals sign, or a field given twice.
    """
    problems, values = [], {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        field = field.strip()
        if not equals or not field or field in values:
            problems.append(
                UserError(
                    f"--set {setting}" + (" names a field a second time" if field in values else ""),
                    "FIELD=VALUE, each field once, such as --set optimizer.learning_rate=0.01",
                    "correct this --set",
                )
            )
        values[field] = value.strip()
    raise_together(problems)
    return values
