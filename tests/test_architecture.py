"""What holds the layout: import arrows, light imports, sizes, and nothing in the project that does not belong there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launch.clusters.environment import OWN_PACKAGES

ROOT = Path(__file__).parent.parent
LISTING = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
FILES = [name for name in LISTING.splitlines() if (ROOT / name).is_file()]


def test_import_arrows():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", ["hvdcells", "etl.pipeline", "launch.cli"])
def test_importing_loads_neither_tensorflow_nor_spark(module):
    heavy = ("tensorflow", "pyspark", "petastorm", "horovod", "sklearn", "matplotlib")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_above_300_lines():
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in FILES if name.endswith(".py")}
    assert not {name: count for name, count in lines.items() if count > 300}


def test_the_wheel_holds_the_three_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(OWN_PACKAGES)


def test_no_file_names_a_package_registry():
    pattern = re.compile(r"https?://\S*(?:/simple|pypi|npmjs|files\.python)|index-url")
    texts = [name for name in FILES if not name.endswith(".png") and name != "tests/test_architecture.py"]
    assert not [name for name in texts if pattern.search((ROOT / name).read_text())]


def commands_in(text: str) -> set[tuple[str, ...]]:
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return {tuple(words) for words in map(str.split, re.findall(r"^hvdcells (.+)", blocks, re.MULTILINE))}


def targets_in(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z-]+)\b", text))


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from launch.cli import app

    readme = (ROOT / "README.md").read_text()
    assert commands_in(readme)
    for name, *words in commands_in(readme):
        command = get_command(app).commands[name]
        if hasattr(command, "commands"):  # a group, such as `hvdcells launch`
            assert words[0] in command.commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets_in(readme) <= targets


DOCUMENTS = ["CONTRIBUTING.md", "README.md", *sorted(name for name in FILES if re.fullmatch(r"docs/[\w-]+\.md", name))]
NAMED = re.compile(r"`((?:hvdcells|etl|launch|benchmarks|tests|docs)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_documents_name_exist(document):
    named = set(NAMED.findall((ROOT / document).read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_the_architecture_says_where_to_look_for_at_least_fifteen_changes():
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.partition("## I want to change")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith(("| …", "|--"))]
    assert len(rows) >= 15
    assert all(NAMED.search(row) for row in rows)


def test_every_room_is_in_the_architecture():
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {"/".join(Path(name).parts[:2]) for name in FILES if name.endswith(".py") and len(Path(name).parts) > 2}
    rooms = {room for room in rooms if room.startswith(("hvdcells/", "etl/", "launch/"))}
    assert sorted(room for room in rooms if f"`{room}/" not in text) == []
