"""Errors that are the user's to mend.

A `UserError` ends a command with exit code 2 and its message alone; every other exception is a fault of
ours (exit code 1, with its trace).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST_SHOWN = 200
"""Characters of a wrong value that a message repeats."""
MOST_TOLD = 12
"""Problems of one description that are told; a file of something else has hundreds."""


class UserError(Exception):
    """The user's input is wrong. The message says what was given, what was expected and what to do."""

    def __init__(self, given: str, expected: str, remedy: str) -> None:
        super().__init__(given, expected, remedy)
        self.given = given
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.given}\n  expected: {self.expected}\n  what to do: {self.remedy}"


class ToldToEndError(Exception):
    """A rank was told to end, as a machine that is taken away does, and has kept its work; the message says what."""


class UserErrors(UserError):  # noqa: N818 - the plural says it all
    """Several problems found in one validation, reported together."""

    def __init__(self, problems: Iterable[UserError]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(problem.given for problem in self.problems),
            "; ".join(problem.expected for problem in self.problems),
            "; ".join(problem.remedy for problem in self.problems),
        )

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def __reduce__(self) -> tuple[type[UserErrors], tuple[tuple[UserError, ...]]]:
        return (type(self), (self.problems,))


def raise_together(problems: Iterable[UserError]) -> None:
    """Raise nothing, the one problem, or all of them as one `UserErrors`."""
    problems = tuple(problems)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserErrors(problems)


def problems_in(error: UserError) -> tuple[UserError, ...]:
    """Return the problems that an error tells: itself, or those that were found together."""
    return error.problems if isinstance(error, UserErrors) else (error,)


@contextmanager
def fields_refused(what: str = "", remedy: str = "give another value", known: Iterable[str] = ()) -> Iterator[None]:
    """Turn what pydantic refuses in the block into `UserError`s, all of them together.

    Args:
        what: stands before the name of a field, such as "the cluster's " or "dataset/manifest.json: ".
        remedy: what to do about it.
        known: names of the fields that there are, for one that there is not.
    """
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        raise_together(problems_of(error, what, remedy, known=known))


def problems_of(
    error: ValidationError,
    what: str = "",
    remedy: str = "give another value",
    told: Callable[[str, str], str] = "{}={}".format,
    known: Iterable[str] = (),
) -> list[UserError]:
    """Return what pydantic refuses, one problem a field.

    Args:
        error: pydantic's account.
        what: stands before the name of a field.
        remedy: what to do about it.
        told: makes the text that was given of a field's dotted name and its value.
        known: names of the fields that there are.
    """
    problems, found = [], error.errors()
    for problem in found[:MOST_TOLD]:
        field, value, expected = ".".join(map(str, problem["loc"])), problem["input"], problem["msg"]
        shown = repr(value) if len(repr(value)) <= LONGEST_SHOWN else f"{repr(value)[:LONGEST_SHOWN]}..."
        if problem["type"] == "missing":
            given = f"no {field}"
        elif field and (problem["type"] == "extra_forbidden" or not isinstance(value, dict)):
            given = told(field, shown)
        elif isinstance(value, dict):
            given = f"fields of {field} together" if field else "fields together"
        else:
            given = "content"
        if problem["type"] == "extra_forbidden" and known:
            expected = f"one of {', '.join(known)}"
        problems.append(UserError(f"{what}{given}", expected.removeprefix("Value error, "), remedy))
    if len(found) > MOST_TOLD:
        problems.append(UserError(f"{what}{len(found) - MOST_TOLD} more", "what fits, as above", remedy))
    return problems
