from etl.options import EtlOptions
from launch.terminal.console import Console
from launch.terminal.etl_stage import show_plan
from tests.etl.cells import cell, write_image


def test_a_dry_run_says_what_becomes_of_every_file_and_writes_nothing(tmp_path):
    for number in range(24):
        name = ("benign", "early", "pre")[number % 3]
        write_image(tmp_path / "source" / name / f"p{number}_1.png", cell(number))
    write_image(tmp_path / "source" / "smudge" / "p1_2.png", cell(99))
    write_image(tmp_path / "source" / "pre" / "nobody.png", cell(98))
    (tmp_path / "source" / "notes.txt").write_text("x")
    console = Console(record=True, width=200)
    options = EtlOptions.of(subject_pattern=r"p(\d+)_", ignore_class=("smudge",), positive="early,pre")
    show_plan(str(tmp_path / "source"), str(tmp_path / "dataset"), options, console)
    text = console.export_text()
    assert "24 subjects" in text
    rows = [[part.strip() for part in line.strip("│ ").split("│")] for line in text.splitlines() if "│" in line]
    classes = {row[1]: list(map(int, row[2:])) for row in rows if row[0].isdecimal()}
    assert {name: sum(numbers) for name, numbers in classes.items()} == {
        "benign": 8,
        "early (counts as ill)": 8,
        "pre (counts as ill)": 8,
    }
    assert all(min(numbers) > 0 for numbers in classes.values())
    assert ["rejected", "1", "--subject-pattern finds no subject in its path"] in rows
    assert ["left aside", "1", "class smudge, ignored as asked"] in rows
    assert ["no image", "1", "file that is no image (.txt)"] in rows
    assert not (tmp_path / "dataset").exists()
