"""Parts of a prediction, and what is put together from them: every image once, in the order of the listing."""

import cv2
import numpy as np
import pytest

from hvdcells import storage
from hvdcells.inference.parts import Listing, missing_parts, part_location, predict_parts, rows_per_part, write_listing
from hvdcells.inference.results import Output, put_together, write_csv
from hvdcells.inference.source import ListedImage
from hvdcells.scores.prediction_table import probabilities_of
from hvdcells.storage import parquet
from tests.hvdcells.inference.made import decision_of, mean_classifier


@pytest.fixture
def made(tmp_path):
    """Thirty images of which three cannot be used, and a listing in parts of eight."""
    images = []
    for number in range(30):
        path = f"{number}.png"
        images.append(ListedImage(path, f"s{number % 4}" if number % 5 else "", "all" if number % 2 else ""))
        pixels = np.full((10, 10, 3), 60 + number * 3, np.uint8)
        (tmp_path / path).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    (tmp_path / "3.png").write_bytes(b"<html>")
    (tmp_path / "11.png").unlink()
    whole = (tmp_path / "29.png").read_bytes()
    (tmp_path / "29.png").write_bytes(whole[: len(whole) // 2])
    output = Output(str(tmp_path / "out"))
    num_images, _ = write_listing(images, output.listing, 8)
    return images, output, Listing(output.listing, str(tmp_path), 8, num_images)


@pytest.mark.parametrize("class_names", [("hem", "all"), ("a", "b", "c")])
def test_sum_equals_the_listing_and_rejects_have_reasons(made, class_names):
    images, output, listing = made
    classifier = mean_classifier(class_names=class_names)
    counts = list(predict_parts(classifier, listing, range(listing.num_parts), output.parts))
    assert (sum(done for done, _ in counts), sum(rejected for _, rejected in counts)) == (30, 3)
    assert missing_parts(output.parts, listing) == []

    decision = decision_of(class_names)
    totals = put_together(output, listing, decision, "digest")
    assert (totals.num_predicted, totals.num_rejected) == (27, 3)
    rejects = parquet.read_rows(output.rejects)
    assert rejects["path"].tolist() == ["3.png", "11.png", "29.png"]
    assert rejects["reason"].tolist() == [
        "not an image that is read here (BMP, PNG, JPEG, TIFF, WebP, JPEG 2000, PNM)",
        "file not found",
        "truncated PNG: no end chunk",
    ]

    rows = parquet.read_rows(output.predictions)
    assert rows["path"].tolist() == [image.path for image in images if image.path not in set(rejects["path"])]
    numbers = rows["path"].str.removesuffix(".png").astype(int).to_numpy()
    expected = np.outer(60 + 3 * numbers - 100, np.arange(len(class_names)))
    np.testing.assert_array_equal(rows[[f"logit_{name}" for name in class_names]], expected)
    probabilities = rows[[f"probability_{name}" for name in class_names]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(rows["model"]) == {"digest"}
    assert totals.called.total() == 27

    subjects = parquet.read_rows(output.subjects).set_index("subject")
    own = rows[rows["subject"] == "s2"]
    assert subjects.loc["s2", "images"] == len(own)
    name, ill = class_names[-1], f"calibrated_{class_names[1]}"
    assert subjects.loc["s2", f"calibrated_{name}"] == pytest.approx(own[f"calibrated_{name}"].mean())
    assert subjects.loc["s2", "value"] == pytest.approx(own[ill].median())
    words = ["hem", "all"] if len(class_names) == 2 else ["not ill", "ill"]
    assert subjects["decision"].tolist() == [words[int(value >= 0.3)] for value in subjects["value"]]
    np.testing.assert_allclose(own[ill], probabilities_of(expected / 2)[(rows["subject"] == "s2").to_numpy(), 1])
    assert rows["decision"].tolist() == [words[int(value >= 0.3)] for value in rows[ill]]
    assert rows["refer"].tolist() == [0.2 <= value < 0.6 for value in rows[ill]]
    assert 0 < totals.num_referred == rows["refer"].sum()
    assert subjects["images"].sum() == (rows["subject"] != "").sum()

    lines = storage.read_text(write_csv(output)).splitlines()
    assert len(lines) == 28
    assert lines[0].replace('"', "").split(",") == list(rows.columns)


def test_one_that_goes_on_makes_the_parts_that_are_missing_alone_and_all_are_the_same(made):
    _, output, listing = made
    classifier = mean_classifier()
    for _ in predict_parts(classifier, listing, [0, 1, 2, 3], output.parts):
        pass
    whole = [storage.read_bytes(part_location(output.parts, part)) for part in range(4)]
    for part in (1, 3):
        storage.remove(part_location(output.parts, part))
    storage.write_text(storage.join(output.parts, ".part-000001.parquet.0badf00d"), "half of a file, written aside")
    assert missing_parts(output.parts, listing) == [1, 3]
    counts = list(predict_parts(classifier, listing, [1, 3], output.parts))
    assert sum(done for done, _ in counts) == 8 + 6
    assert [storage.read_bytes(part_location(output.parts, part)) for part in range(4)] == whole


def test_parts_of_other_images_are_never_put_together(made):
    _, output, listing = made
    for _ in predict_parts(mean_classifier(), listing, range(4), output.parts):
        pass
    storage.write_bytes(part_location(output.parts, 2), storage.read_bytes(part_location(output.parts, 1)))
    with pytest.raises(RuntimeError, match="part 2"):
        put_together(output, listing, decision_of(("hem", "all")), "digest")
    assert not storage.exists(output.predictions)


@pytest.mark.parametrize("batch_size", [1, 16, 48, 512, 1000])
def test_parts_are_whole_batches(batch_size):
    assert rows_per_part(batch_size) % batch_size == 0
    assert rows_per_part(batch_size) <= max(512, batch_size)


def test_images_in_memory_are_predicted_as_files_are(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    content = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    (tmp_path / "a.png").write_bytes(content)
    rows = mean_classifier(batch_size=2).predict([image, content, tmp_path / "a.png", b"", str(tmp_path / "b.png")])
    assert rows["reason"].tolist() == ["", "", "", "empty file", "file not found"]
    assert rows["path"].tolist() == ["", "", str(tmp_path / "a.png"), "", str(tmp_path / "b.png")]
    assert rows["probability_all"][:3].nunique() == 1
    assert rows["probability_all"][3:].isna().all()
    assert rows["called"][3:].tolist() == ["", ""]
    assert len(mean_classifier().predict([])) == 0
