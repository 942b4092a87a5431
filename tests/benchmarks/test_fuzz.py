"""Files changed at random, of every kind that comes from somebody else: nothing crashes, hangs or escapes."""

import pytest

from benchmarks.fuzz import MOST_MIB, fuzz
from benchmarks.fuzzing import examples
from benchmarks.fuzzing.worker import Watch
from hvdcells.images.formats import FORMATS, format_of

SECONDS = 500.0
"""Each takes some seconds on a quiet machine; a hang is what never ends."""


@pytest.mark.parametrize(("kind", "count"), [("images", 2000), ("manifests", 500), ("parquet", 200), ("runs", 200)])
def test_changed_files_are_read_or_refused_and_nothing_else_happens(kind, count):
    result = fuzz(kind, count, seed=14, most_seconds=SECONDS)
    assert result["files"] == count
    assert set(result["outcomes"]) == {"read", "refused"}, result
    assert result["outcomes"]["refused"] > count / 4, "the changes are too small to show anything"
    assert result["forbidden"] == {}
    assert result["peak_mib"] < MOST_MIB


def test_every_format_that_is_read_is_among_the_examples():
    assert {format_of(content).name for content in examples.images().values()} == {each.name for each in FORMATS}


def test_the_watch_sees_what_it_is_there_for(tmp_path):
    import os
    import pickle
    import subprocess

    class Attack:
        def __reduce__(self):
            return os.getcwd, ()

    (tmp_path / "inside").mkdir()
    watch = Watch(tmp_path / "inside")
    (tmp_path / "before").write_text("not watched yet")
    watch.begin()
    (tmp_path / "inside/file").write_text("inside")
    (tmp_path / "outside").write_text("outside")
    pickle.loads(pickle.dumps(Attack()))
    subprocess.run(["true"], check=True)
    (tmp_path / "outside").unlink()
    watch.end()
    (tmp_path / "after").write_text("no longer watched")
    seen = " ".join(watch.seen)
    for words in ("open", "pickle.find_class", "subprocess.Popen", "os.remove"):
        assert words in seen
    assert not any(word in seen for word in ("inside/file", "before", "after"))
