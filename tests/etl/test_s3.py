import os
from collections import Counter

import cv2
import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.verify import verify
from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.images.files import list_files
from hvdcells.storage import parquet, retries
from tests.etl.cells import cell

pytestmark = pytest.mark.aws

SMALL = EtlOptions.of(image_size=8, crop=16)
NUM_IN_ONE_FOLDER = 1040


@pytest.fixture(scope="module")
def source(s3):
    """More objects in one folder than a page of a listing holds."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="cells")

    def put(key, seed):
        content = cv2.imencode(".bmp", cell(seed, 24))[1].tobytes()
        client.put_object(Bucket="cells", Key=f"set/{key}", Body=content)

    for index in range(NUM_IN_ONE_FOLDER):
        put(f"fold_0/all/UID_{index % 7 + 1}_{index}_1_all.bmp", index)
    for index in range(30):
        put(f"fold_1/hem/UID_H{index % 5 + 1}_{index}_1_hem.bmp", 5000 + index)
        put(f"fold_2/all/UID_{50 + index % 3}_{index}_1_all.bmp", 6000 + index)
        put(f"fold_2/hem/UID_H{50 + index % 3}_{index}_1_hem.bmp", 7000 + index)
    client.put_object(Bucket="cells", Key="set/readme.txt", Body=b"not an image")
    return "s3://cells/set"


@pytest.fixture
def in_tasks(spark, s3):
    """Hand the environment to Spark's tasks: their Python was started before it was set."""
    environment = spark.sparkContext.environment
    before = dict(environment)
    environment.update({name: os.environ[name] for name in os.environ if name.startswith("AWS_")})
    yield
    environment.clear()
    environment.update(before)


def test_listing_goes_over_all_pages(source):
    listed = list(list_files(source))
    assert len(listed) == NUM_IN_ONE_FOLDER + 90 + 1
    assert len({file.path for file in listed}) == len(listed)
    assert all(file.fingerprint and file.size_bytes for file in listed)
    assert Counter(file.path.split("/")[0] for file in listed if file.is_image) == {
        "fold_0": NUM_IN_ONE_FOLDER,
        "fold_1": 30,
        "fold_2": 60,
    }


def test_keys_that_name_no_folder_are_counted_by_why(s3):
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="odd-keys")
    keys = (
        "a/x.png",
        "a//y.png",
        "./a/z.png",
        "../a/w.png",
        "a/./v.png",
        "a/../u.png",
        "/lead.png",
        "b/",
        ".hid/q.png",
    )
    for key in keys:
        client.put_object(Bucket="odd-keys", Key=f"set/{key}", Body=b"")
    passed: Counter[str] = Counter()
    listed = list(list_files("s3://odd-keys/set", lambda reason: passed.update((reason,))))
    assert [file.path for file in listed] == ["a/x.png"]
    assert passed == {
        "folder called . (keys with ./), not looked into": 2,
        "folder called .. (keys with ../), not looked into": 2,
        "folder without a name (keys with //), not looked into": 2,
        "hidden folder, not looked into": 1,
        "mark of a folder, no file": 1,
    }


def test_a_file_appears_whole_or_not_at_all(s3, source):
    def write_half():
        with storage.new_file("s3://cells/half") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert "half" not in storage.names_in("s3://cells")


def test_passing_errors_are_retried_and_lasting_ones_are_not():
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("503 Slow Down")
        return "done"

    def missing():
        calls.append(1)
        raise FileNotFoundError

    assert retries.call(flaky) == "done"
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(FileNotFoundError):
        retries.call(missing)
    assert len(calls) == 1


@pytest.mark.spark
@pytest.mark.slow
def test_from_s3_to_s3_through_faults(spark, s3, source, in_tasks):
    s3.every = 25
    try:
        manifest = run_etl(spark, source, "s3://cells/dataset", SMALL)
    finally:
        s3.every = 0
    assert min(s3.injected[fault] for fault in ("500", "503", "slow")) >= 10
    assert (manifest.listed, manifest.written, manifest.rejected) == (
        NUM_IN_ONE_FOLDER + 90,
        NUM_IN_ONE_FOLDER + 90,
        {},
    )
    opened = Dataset.open("s3://cells/dataset")
    assert opened.manifest == manifest
    assert [finding.against for finding in verify(spark, opened) if not finding.holds] == []
    gets = s3.requests["GET"]
    again = run_etl(spark, source, "s3://cells/dataset", SMALL)
    assert again == manifest
    assert s3.requests["GET"] - gets < 40  # listings and the manifest, no image


@pytest.mark.spark
def test_from_s3_to_disk_and_from_disk_to_s3(spark, s3, source, in_tasks, tmp_path):
    from tests.etl.cells import write_cnmc

    write_cnmc(tmp_path / "source", images_per_subject=1)
    here = run_etl(spark, tmp_path / "source", tmp_path / "dataset", SMALL)
    there = run_etl(spark, tmp_path / "source", "s3://cells/from-disk", SMALL)
    assert here == there
    for split in here.splits.values():
        for file in split.files:
            assert parquet.read_table(f"s3://cells/from-disk/{file.path}") == parquet.read_table(
                f"{tmp_path}/dataset/{file.path}"
            )
