"""Commands made from models: the options that come of fields, and what the command is called with."""

import re
from typing import Annotated, Literal

import pytest
import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat
from typer.testing import CliRunner

from hvdcells.errors import UserError, problems_in
from launch.terminal.model_options import option_name, takes_models

SETTINGS = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def numbers(text):
    return tuple(int(word) for word in text.split(","))


class Cells(BaseModel):
    model_config = SETTINGS

    size: Annotated[int, Field(ge=8, le=64)] = 32
    """Side of an image,
    in pixels."""
    rate: PositiveFloat | None = None
    """Images a second."""
    kind: Literal["raw", "png"] = "raw"
    shares: tuple[float, float] = (0.8, 0.2)
    names: Annotated[tuple[str, ...], typer.Option("--name", rich_help_panel="Names")] = ()
    steps: Annotated[tuple[int, ...], BeforeValidator(numbers), typer.Option(parser=str, metavar="N,N")] = ()
    tags: Annotated[dict[str, str], typer.Option("--tag", metavar="KEY=VALUE")] = {}
    keep_all: bool = False


class Place(BaseModel):
    model_config = SETTINGS

    where: str
    """Where it goes."""
    depth: Annotated[int, Field(ge=1)] = 1


@pytest.fixture
def run():
    """Call a command that takes both models and an argument; return how it ended and what it was called with."""
    called = []
    app = typer.Typer()

    @app.command()
    @takes_models
    def cells(source: str, cells: Cells, place: Place, quick: bool = False) -> None:
        """Make cells."""
        called.append((source, cells, place, quick))

    def call(*words):
        called.clear()
        done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120", "NO_COLOR": "1"})
        return done, (called[0] if called else None)

    return call


def test_a_model_gets_what_was_given_and_no_more(run):
    done, called = run("images", "--where", "there", "--size", 16)
    assert done.exit_code == 0, done.output
    source, cells, place, quick = called
    assert (source, cells, quick) == ("images", Cells(size=16), False)
    assert cells.model_fields_set == {"size"}
    assert place.model_fields_set == {"where"}
    # What is given and is the default is given all the same.
    assert run("images", "--where", "there", "--size", 32)[1][1].model_fields_set == {"size"}


def test_every_kind_of_field_has_its_option(run):
    words = ["--rate", 2.5, "--kind", "png", "--shares", 0.5, 0.5, "--name", "a", "--name", "b", "--steps", "1,2"]
    words += ["--tag", "team=lab", "--tag", "day = 1", "--keep-all"]
    done, called = run("images", "--where", "there", *words)
    assert done.exit_code == 0, done.output
    assert called[1] == Cells(
        rate=2.5,
        kind="png",
        shares=(0.5, 0.5),
        names=("a", "b"),
        steps="1,2",
        tags={"team": "lab", "day": "1"},
        keep_all=True,
    )


def test_the_help_says_what_the_model_says(run):
    done, _ = run("--help")
    text = re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─]", " ", done.output))
    for words in (
        "Make cells.",
        "--size <int range> [8<=x<=64] Side of an image, in pixels. [default: 32]",
        "--rate <float range> [x>0] Images a second.",
        "--depth <int range> [x>=1]",
        "[default: raw]",
        "Where it goes. [required]",
        "N,N",
        "KEY=VALUE",
    ):
        assert words in text
    assert text.index("Names") < text.index("--name")
    assert "--no-keep-all" not in text
    assert "[default: None]" not in text


def test_all_that_is_wrong_is_told_together(run):
    words = ["--size", 4, "--rate", -1, "--tag", "nonsense", "--depth", 0]
    done, called = run("images", "--where", "there", *words)
    assert called is None
    assert isinstance(done.exception, UserError)
    given = [problem.given for problem in problems_in(done.exception)]
    assert given == ["--tag nonsense", "--size 4", "--rate -1.0", "--depth 0"]
    assert "greater than or equal to 8" in str(done.exception)


def test_what_is_required_is_asked_for(run):
    done, called = run("images")
    assert done.exit_code == 2
    assert "--where" in done.output
    assert called is None


def test_options_have_the_names_of_their_fields_or_their_own():
    assert option_name(Cells, "keep_all") == "--keep-all"
    assert option_name(Cells, "names") == "--name"
