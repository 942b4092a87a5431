"""Errors that are the user's to mend.

A `UserError` ends a command with exit code 2 and its message alone; every other exception is a fault of
ours (exit code 1, with its trace).
"""

from collections.abc import Iterable


class UserError(Exception):
    """The user's input is wrong. The message says what was given, what was expected and what to do."""

    def __init__(self, given: str, expected: str, remedy: str) -> None:
        super().__init__(given, expected, remedy)
        self.given = given
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.given}\n  expected: {self.expected}\n  what to do: {self.remedy}"


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

    def __reduce__(self) -> tuple[type["UserErrors"], tuple[tuple[UserError, ...]]]:
        return (type(self), (self.problems,))


def raise_together(problems: Iterable[UserError]) -> None:
    """Raise nothing, the one problem, or all of them as one `UserErrors`."""
    problems = tuple(problems)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserErrors(problems)
