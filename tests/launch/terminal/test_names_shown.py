"""Names of somebody else are text on the screen and in pictures: no markup, no escape sequence, no formula."""

import re
from io import StringIO

import matplotlib
import pytest
from rich.table import Table

from etl.dataset.overview import write_overview
from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.scores import plots
from hvdcells.secrets import visible
from launch.terminal.console import Console
from launch.terminal.dataset_tables import print_dataset
from tests.small_dataset import write_small_dataset

NAMES = [
    "[/]",
    "[link=https://evil]click[/link]",
    "P$5_^$",
    "\x1b[31mred\x1b]0;title\x07",
    ":smile:",
    "\u202egnp.exe",
    "a\x9bb",
]


def shown(show):
    screen = StringIO()
    show(Console(file=screen, force_terminal=True, width=300, color_system="truecolor"))
    return screen.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_written(name):
    def show(console):
        console.print(f"The subject {name}")
        console.print(name, style="bold")
        console.rule(name)
        table = Table(name, title=name)
        table.add_row(name)
        console.print(table)

    text = shown(show)
    assert re.sub(r"\x1b\[[\d;]*m", "", text).count(visible(name)) >= 5  # without the colours of rich itself
    for hidden in ("\x1b]0;", "\x1b]8;", "\x07", "\u202e", "\x9b", "😄"):
        assert hidden not in text


def test_lines_and_tabs_stay_and_letters_of_all_languages():
    text = "a\tb\nc é 白血病 × – ἄ 🙂"
    assert visible(text) == text
    assert visible("\x1b\r\x00\ud800") == "\\x1b\\r\\x00\\ud800"


@pytest.fixture
def dataset(tmp_path):
    """A dataset whose classes and subjects have such names."""
    dataset = write_small_dataset(tmp_path, {"train": [[8]], "validation": [[8]], "test": [[8]]})
    text = dataset.manifest.to_json()
    for subject, name in zip(sorted(dataset.split("train").images_per_subject), NAMES, strict=False):
        text = text.replace(f'"{subject}"', f'"{name}"'.replace("\x1b", "\\u001b").replace("\x07", "\\u0007"))
    (tmp_path / "manifest.json").write_text(text)
    return Dataset.open(tmp_path)


def test_show_survives_them(dataset):
    text = shown(lambda console: print_dataset(dataset, console))
    assert "[/]" in text
    assert "\x1b]0;" not in text


def test_an_overview_is_drawn_with_them(dataset, recwarn):
    manifest = dataset.manifest
    write_overview(dataset.location, manifest)
    assert storage.read_bytes(f"{dataset.location}/overview.png")[:4] == b"\x89PNG"
    assert not [warning for warning in recwarn if "overview" in str(warning.message)]


def test_a_picture_that_fails_is_a_warning_and_no_old_one_stays(dataset, monkeypatch):
    storage.write_bytes(f"{dataset.location}/overview.png", b"old")
    monkeypatch.setattr("etl.dataset.overview._draw_subjects", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match=r"no overview.png: division by zero"):
        write_overview(dataset.location, dataset.manifest)
    assert not storage.exists(f"{dataset.location}/overview.png")


def test_figures_of_a_report_are_drawn_with_them(tmp_path):
    with plots.styled():
        figure = plots.confusion([[1, 2], [3, 4]], ("P$5_^$", "$\\frac{"), "images")
        figure.savefig(tmp_path / "figure.svg")
    assert matplotlib.rcParams["text.parse_math"]  # elsewhere as it was


def test_nothing_in_launch_prints_past_it():
    from pathlib import Path

    import launch

    for path in Path(launch.__file__).parent.rglob("*.py"):
        if path.name != "console.py":
            assert "rich.console import Console" not in path.read_text(), path
