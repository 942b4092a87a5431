"""What pydantic refuses, as the user reads it."""

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from hvdcells.errors import LONGEST_SHOWN, MOST_TOLD, UserError, UserErrors, fields_refused


class Inner(BaseModel):
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("a low below high")
        return self


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    inner: Inner = Inner()
    sizes: tuple[int, ...] = ()


def refused(given):
    with pytest.raises(UserError) as caught, fields_refused("the box's ", "mend it", Outer.model_fields):
        Outer.model_validate_json(given) if isinstance(given, str) else Outer.model_validate(given)
    return caught.value


def test_each_field_is_told_with_what_was_given_expected_and_to_be_done():
    error = refused({"inner": {"low": "x"}, "sizes": [1, "two"], "colour": "red"})
    assert isinstance(error, UserErrors)
    told = {problem.given: problem.expected for problem in error.problems}
    assert set(told) == {
        "the box's no name",
        "the box's inner.low='x'",
        "the box's sizes.1='two'",
        "the box's colour='red'",
    }
    assert told["the box's colour='red'"] == "one of name, inner, sizes"
    assert "valid integer" in told["the box's inner.low='x'"]
    assert {problem.remedy for problem in error.problems} == {"mend it"}


def test_fields_that_do_not_fit_together():
    error = refused({"name": "a", "inner": {"low": 3, "high": 2}})
    assert (error.given, error.expected) == ("the box's fields of inner together", "a low below high")


def test_something_else_altogether_is_not_repeated_at_length():
    assert "content" in refused("no JSON at all").given
    error = refused({"name": "a", "sizes": ["x" * 10_000]})
    assert len(error.given) < LONGEST_SHOWN + 100
    error = refused({"name": "a", "sizes": ["x"] * 500})
    assert len(error.problems) == MOST_TOLD + 1
    assert f"{500 - MOST_TOLD} more" in error.problems[-1].given


def test_what_fits_goes_through_and_other_errors_too():
    with fields_refused():
        assert Outer(name="a").name == "a"
    with pytest.raises(KeyError), fields_refused():
        raise KeyError
