"""Command lines made from pydantic models: one option a field, with its type, its default and its docstring as help.

    class Cells(BaseModel):
        model_config = ConfigDict(use_attribute_docstrings=True)
        seed: int = 0
        \"\"\"Draws other cells.\"\"\"

    @takes_models
    def demo(cells: Cells) -> None: ...

`hvdcells demo --seed 3` calls it with `Cells(seed=3)`. What is particular about an option (its name, its heading in the
help, its metavar) is a `typer.Option` among the annotations of the field. Limits of numbers are shown in the help and
judged by the model, so that all that is wrong in a command is told together.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from copy import copy
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from hvdcells.errors import UserError, problems_in, problems_of, raise_together
from launch.terminal.arguments import parse_pairs

_REMEDY = "correct it, or leave it out"


def takes_models(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take whole models: of each parameter that is one, the fields become options.

    A model gets what the user has given and no more, so that its `model_fields_set` tells what that was.

    Raises:
        UserError: what the models refuse, all of it together.
    """
    signature = inspect.signature(command, eval_str=True)
    models = {name: each.annotation for name, each in signature.parameters.items() if _is_model(each.annotation)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += options_of(models[name]) if name in models else [parameter]

    @functools.wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        made: dict[str, BaseModel] = {}
        problems: list[UserError] = []
        for name, model in models.items():
            values = {field: given.pop(field) for field in model.model_fields}
            try:
                made[name] = _instance(model, values, context)
            except UserError as error:
                problems += problems_in(error)
        raise_together(problems)
        command(**given, **made)

    own = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    # Options with defaults may stand before arguments without.
    taken = [own, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters)]
    run.__signature__ = signature.replace(parameters=taken)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in taken} | {"return": None}
    return run


def options_of(model: type[BaseModel]) -> list[inspect.Parameter]:
    """Return the parameters of a function that takes a model's fields as typer understands them."""
    return [_parameter(name, field) for name, field in model.model_fields.items()]


def option_name(model: type[BaseModel], field: str) -> str:
    """Return the option that stands for a field, such as `--image-size`."""
    told = _told_of(model.model_fields[field])
    return str(told.default) if told.default not in (..., None) else f"--{field.replace('_', '-')}"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    option, kind = _told_of(field), _without_none(field.annotation)
    option.help = " ".join((field.description or "").split())
    default: Any = inspect.Parameter.empty
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        option.show_default = default not in (None, (), {})
    if kind is bool and option.default is ...:
        option.default = f"--{name.replace('_', '-')}"  # without a --no-...: leaving it out says that
    if option.metavar is None and (limits := _limits(field)):
        option.metavar = f"<{kind.__name__} range> [{limits}]"
    if option.parser is not None:  # one text that the model takes apart
        kind, default = str, ",".join(map(str, default)) or None
    elif get_origin(kind) is dict or get_args(kind)[-1:] == (...,):
        kind, default = list[str], None  # given once for each
    if default is None:
        kind = kind | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _instance(model: type[BaseModel], values: dict[str, Any], context: typer.Context) -> BaseModel:
    given: dict[str, Any] = {}
    problems: list[UserError] = []
    for name, value in values.items():
        source = context.get_parameter_source(name)
        if source is None or source.name == "DEFAULT":
            continue
        given[name] = value
        if get_origin(_without_none(model.model_fields[name].annotation)) is dict:
            try:
                given[name] = parse_pairs(option_name(model, name), value)
            except UserError as error:
                problems += problems_in(error)
                del given[name]
    try:
        made = model.model_validate(given)
    except ValidationError as error:
        told = problems_of(error, remedy=_REMEDY, told=lambda field, value: _told(model, field, value))
        raise_together([*problems, *told])
        raise
    raise_together(problems)
    return made


def _told(model: type[BaseModel], field: str, value: str) -> str:
    return f"{option_name(model, field.partition('.')[0])} {value.strip(chr(39))}"


def _told_of(field: FieldInfo) -> OptionInfo:
    """Return a copy of the `typer.Option` among a field's annotations, or a new one."""
    return next((copy(each) for each in field.metadata if isinstance(each, OptionInfo)), typer.Option())


def _is_model(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _without_none(annotation: Any) -> Any:
    """Return the type of a field without None, and without what is annotated to it."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _without_none(next(each for each in get_args(annotation) if each is not NoneType))
    return annotation


def _limits(field: FieldInfo) -> str:
    """Return the limits of a number as click writes them, such as `1<=x<=100`."""
    lower = upper = ""
    for each in _metadata(field):
        match each:
            case Ge(ge=limit):
                lower, alone = f"{limit}<=x", f"x>={limit}"
            case Gt(gt=limit):
                lower, alone = f"{limit}<x", f"x>{limit}"
            case Le(le=limit):
                upper = f"x<={limit}"
            case Lt(lt=limit):
                upper = f"x<{limit}"
    if lower and upper:
        return lower + upper.removeprefix("x")
    return alone if lower else upper


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """Yield what is annotated to a field, or to the type beside None."""
    yield from field.metadata
    for each in get_args(field.annotation):
        for inner in get_args(each)[1:]:
            yield from inner.metadata if isinstance(inner, FieldInfo) else [inner]
