"""What a campaign of faults draws, how damage is done and mended, and what its table says."""

import io
import random
from collections import Counter

from rich.console import Console

from benchmarks.faults.__main__ import table
from benchmarks.faults.campaign import draw
from benchmarks.faults.kinds import KINDS, flips_bytes
from benchmarks.faults.stages import STAGES, Bench


def test_a_campaign_is_drawn_by_its_seed_and_a_longer_one_begins_alike():
    assert draw(90, 14, KINDS)[:20] == draw(20, 14, KINDS)
    assert draw(20, 15, KINDS) != draw(20, 14, KINDS)


def test_few_faults_too_are_of_many_kinds_and_all_stages():
    pairs = [(stage, name) for name, kind in KINDS.items() for stage in kind.stages]
    drawn = Counter((fault.stage, fault.kind) for fault in draw(2 * len(pairs), 14, KINDS))
    assert drawn == Counter(dict.fromkeys(pairs, 2))
    assert {stage for stage, _ in pairs} == set(STAGES)


def test_damage_changes_one_file_and_is_mended(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.bmp").write_bytes(bytes(range(100)))
    damage = flips_bytes("*.bmp", lambda bench, _: bench.folder)
    for seed in range(20):
        mend = damage(Bench(tmp_path), tmp_path / "out", random.Random(seed))
        assert [path.read_bytes() == bytes(range(100)) for path in sorted(tmp_path.iterdir())].count(False) == 1
        mend()
        assert all(path.read_bytes() == bytes(range(100)) for path in tmp_path.iterdir())


def test_the_table_counts_what_was_wrong():
    results = [
        {"kind": "SIGKILL rank", "stage": "train", "outcome": "unharmed", "recovered_after_seconds": 12.2, "wrong": []},
        {"kind": "SIGKILL rank", "stage": "train", "outcome": "hung", "wrong": ["it hangs"]},
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(results))
    row = next(line for line in console.export_text().splitlines() if "SIGKILL rank" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        *("SIGKILL rank", "train", "2", "1 unharmed, 1 hung", "12 s", "1")
    ]
