"""Requests checked against botocore's own models of the services, with no network.

botocore checks names, types and smallest sizes before it sends; this adds the patterns, the fixed words and the
largest sizes that its models hold too, so that what AWS would refuse for its form is refused here.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from hvdcells.errors import UserError, raise_together


def check_request(service: str, operation: str, params: dict[str, Any]) -> None:
    """Refuse a request that the model of the service does not allow.

    Args:
        service: boto3's name, such as `emr`.
        operation: the API's name, such as `RunJobFlow`.
        params: what would be given to boto3.

    Raises:
        UserError: all that is wrong, together.
    """
    from botocore.validate import ParamValidator

    shape = _service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(params, shape)
    problems: list[str] = report.generate_report().splitlines() if report.has_errors() else []
    problems += _wrong_values(params, shape, operation)
    raise_together(
        UserError(
            f"the request {operation}: {problem}",
            f"what botocore's model of {service} allows",
            "correct the option it comes from; --dry-run prints the whole request",
        )
        for problem in problems
    )


@cache
def _service_model(service: str) -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def _wrong_values(value: Any, shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, member in value.items():
            if name in shape.members:
                yield from _wrong_values(member, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list | tuple):
        yield from _too_long(value, shape, path)
        for index, member in enumerate(value):
            yield from _wrong_values(member, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from _too_long(value, shape, path)
        for key, member in value.items():
            yield from _wrong_values(key, shape.key, f"{path} (key {key!r})")
            yield from _wrong_values(member, shape.value, f"{path}.{key}")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _too_long(value, shape, path)
        if shape.enum and value not in shape.enum:
            yield f"{path} is {value!r}, not one of {', '.join(shape.enum)}"
        pattern = _python_pattern(shape.metadata.get("pattern"))
        if pattern and not pattern.fullmatch(value):
            yield f"{path} is {value!r}, which does not match {pattern.pattern}"
    elif shape.type_name in ("integer", "long", "float", "double") and isinstance(value, int | float):
        largest = shape.metadata.get("max")
        if largest is not None and value > largest:
            yield f"{path} is {value}, above {largest}"


def _too_long(value: Any, shape: Any, path: str) -> Iterator[str]:
    largest = shape.metadata.get("max")
    if largest is not None and len(value) > largest:
        yield f"{path} has {len(value)} characters or members, above {largest}"


@cache
def _python_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """Return a model's pattern; None where there is none or it is written in Java's way (`\\p{L}`, `\\uD800`)."""
    if pattern is None or r"\p{" in pattern or r"\uD" in pattern or "&&" in pattern:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None
