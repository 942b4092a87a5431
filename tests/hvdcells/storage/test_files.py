"""Files that are whole or not there, on disk and in S3."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hvdcells import storage
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import Progress, last_progress, remove_checkpoints, write_progress


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.aws)])
def folder(request, tmp_path):
    if request.param == "disk":
        return str(tmp_path / "folder")
    import boto3

    request.getfixturevalue("s3")
    boto3.client("s3").create_bucket(Bucket=(bucket := f"storage-{tmp_path.name[:40].replace('_', '-')}"))
    return f"s3://{bucket}/folder"


def test_a_new_file_appears_when_it_is_whole(folder):
    location = storage.join(folder, "file")
    with storage.new_file(location) as file:
        file.write(b"first")
        assert not storage.exists(location)
    assert storage.read_bytes(location) == b"first"
    assert storage.names_in(folder) == ["file"]
    assert storage.size_bytes(location) == 5


def test_a_new_file_that_fails_leaves_what_was_there(folder):
    location = storage.join(folder, "file")
    storage.write_text(location, "before")

    def fail():
        with storage.new_file(location) as file:
            file.write(b"half")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert storage.read_text(location) == "before"
    assert storage.names_in(folder) == ["file"]


def test_nothing_has_no_names_and_no_size(folder):
    assert storage.names_in(folder) == []
    assert storage.size_bytes(storage.join(folder, "file")) is None


def test_of_writers_at_once_one_creates_the_file_and_it_is_whole(folder):
    location = storage.join(folder, "owner")
    with ThreadPoolExecutor(8) as pool:
        texts = [f"writer {number}" * 1000 for number in range(8)]
        created = list(pool.map(lambda text: storage.create_text(location, text), texts))
    assert sum(created) == 1
    assert storage.read_text(location) == texts[created.index(True)]
    assert storage.names_in(folder) == ["owner"]


def test_a_file_is_created_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert storage.create_text(tmp_path / "owner", "me")
    assert not storage.create_text(tmp_path / "owner", "another")
    assert (tmp_path / "owner").read_text() == "me"
    assert storage.names_in(tmp_path) == ["owner"]


def test_below_a_file_nothing_is_created_and_nothing_said_to_be_there(tmp_path):
    (tmp_path / "file").write_text("")
    for location in (tmp_path / "file/owner", tmp_path / "file/deep/owner"):
        for write in (storage.create_text, storage.write_text):
            with pytest.raises(NotADirectoryError):
                write(location, "me")
        assert not storage.exists(location)


def test_removing_takes_no_name_for_a_pattern(folder):
    for name in ("run1", "run[12]", "run*"):
        storage.write_text(storage.join(folder, name, "file"), name)
    storage.remove(storage.join(folder, "run[12]"))
    storage.remove(storage.join(folder, "run*"))
    assert storage.names_in(folder) == ["run1"]


def test_what_another_process_writes_is_seen(folder):
    storage.write_text(storage.join(folder, "first"), "")
    assert storage.names_in(folder) == ["first"]
    fs, path = storage.filesystem(folder)
    type(fs)(skip_instance_cache=True).pipe_file(f"{path}/second", b"2")  # whose listings are its own
    assert storage.exists(storage.join(folder, "second"))
    assert storage.size_bytes(storage.join(folder, "second")) == 1
    assert storage.names_in(folder) == ["first", "second"]


def test_only_what_was_left_aside_is_removed(tmp_path):
    (tmp_path / "predictions").mkdir()
    for name in (".metrics.jsonl.0123abcd", ".notes.txt", "run.json", "predictions/.test.parquet.89abcdef"):
        (tmp_path / name).write_text("")
    storage.remove_left_aside(tmp_path)
    assert storage.names_in(tmp_path) == [".notes.txt", "predictions", "run.json"]
    assert storage.names_in(tmp_path / "predictions") == []


def test_checkpoints_are_found_and_removed(folder):
    run, progress = RunDirectory.at(folder), Progress()
    for score in (3.0, 1.0, 2.0):
        progress.note((score,))
        with storage.new_file(run.checkpoint_variables(progress.epochs_done)) as file:
            file.write(b"variables")
        write_progress(run, progress)
        assert last_progress(run) == progress
        remove_checkpoints(run, keep=(progress.epochs_done, progress.best_epoch))
    names = [f"epoch-000{epoch}.{suffix}" for epoch in (1, 3) for suffix in ("json", "npz")]
    assert storage.names_in(run.checkpoints) == names


def test_folders_that_are_made_are_for_their_owner_alone_and_others_keep_their_rights(tmp_path):
    tmp_path.chmod(0o755)
    storage.write_text(tmp_path / "dataset" / "images" / "part", "pixels")
    with storage.new_folder(tmp_path / "listing" / "new") as folder:
        assert Path(folder).stat().st_mode & 0o777 == 0o700
    made = [tmp_path / "dataset", tmp_path / "dataset" / "images", tmp_path / "listing"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3
    assert tmp_path.stat().st_mode & 0o777 == 0o755
