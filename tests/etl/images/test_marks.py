"""What is known of an image beside its pixels, and the range of images of more than 8 bits."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from etl.images.marks import CONSTANT_END, HAS_FEW_LEVELS, ONE_VALUE, TURNED, marks_of
from etl.images.normalise import process
from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from hvdcells.images.decode import Unreadable, decode, decode_samples, sample_bits_of
from hvdcells.images.prepare import ImagePreparation
from tests.etl.cells import cell, rows_of

EXIF_SIX = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(png, block=EXIF_SIX):
    chunk = b"eXIf" + block
    return png[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def webp_with_exif(webp, block=EXIF_SIX):
    height, width = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2]
    sizes = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<II", 10, 8) + sizes + webp[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_with_orientation(image, orientation):
    """A TIFF by hand: grey, one strip."""
    height, width = image.shape
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (274, orientation), (277, 1)]
    tags += [(278, height), (279, image.size)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    end = 8 + image.size
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", end) + image.tobytes() + directory


def marks(content):
    return marks_of(content, decode_samples(content))


def test_a_png_a_webp_and_a_tiff_are_turned_as_their_camera_says():
    image = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)
    upright = np.rot90(image, -1)
    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    webp = cv2.imencode(".webp", colour, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    for content in (with_exif(encoded(image)), webp_with_exif(webp), tiff_with_orientation(image, 6)):
        np.testing.assert_array_equal(decode(content)[..., 0], upright)
        assert TURNED in marks(content)
    # Four letters without the checksum of a chunk are pixels, and say nothing.
    broken = with_exif(encoded(image))
    at = broken.index(b"eXIf") + 4 + len(EXIF_SIX)
    text = broken[: at - 4 - len(EXIF_SIX)] + b"teXt" + broken[at - len(EXIF_SIX) :]
    assert TURNED not in marks(encoded(image))
    assert b"eXIf" not in text


def test_an_image_that_shows_next_to_nothing_is_marked():
    assert marks(encoded(np.full((60, 50, 3), 7, np.uint8))) == (ONE_VALUE,)
    label_map = np.zeros((60, 50), np.uint8)
    label_map[20:40, 10:30], label_map[5:9, 3:8] = 1, 2
    assert marks(encoded(label_map)) == (HAS_FEW_LEVELS,)
    assert marks(encoded(cell(1, 200))) == ()
    # A few pixels are looked at first; the rest decides.
    label_map[1, 1:10] = np.arange(10, 19)
    assert marks(encoded(label_map)) == ()


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".ppm"])
def test_a_file_whose_second_half_was_zeroed_is_marked(suffix):
    noise = np.random.default_rng(0).integers(0, 255, (90, 72, 3), np.uint8)
    content = cv2.imencode(suffix, noise, [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == ".tiff" else [])[1].tobytes()
    assert marks(content) == ()
    half = noise.size // 2
    at = 8 if suffix == ".tiff" else len(content) - noise.size
    zeroed = content[: at + half] + bytes(half) + content[at + noise.size :]
    assert marks(zeroed) == (CONSTANT_END,)


def test_further_pages_of_a_tiff_are_counted():
    pages = [np.full((20, 20), value, np.uint8) + np.arange(20, dtype=np.uint8) for value in (1, 50, 90)]
    content = cv2.imencodemulti(".tiff", pages)[1].tobytes()
    assert marks(content) == ("the first of 3 pages; the others are not used",)
    np.testing.assert_array_equal(decode(content)[..., 0], pages[0])


@pytest.mark.parametrize(("largest", "bits"), [(200, 8), (256, 10), (4095, 12), (4096, 14), (16384, 16), (65535, 16)])
def test_the_range_is_that_of_a_camera(largest, bits):
    assert sample_bits_of(largest) == bits


def test_values_of_12_bits_in_16_keep_what_they_show():
    deep = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = decode(encoded(deep), sample_bits=12)
    np.testing.assert_array_equal(found[..., 0], deep >> 4)
    see_through = np.dstack([deep, deep, deep, np.full_like(deep, 65535)])
    np.testing.assert_array_equal(decode(encoded(see_through), sample_bits=12)[..., 0], deep >> 4)
    assert process(encoded(see_through), 32, 0).largest_deep_value == 4095
    # Whoever predicts an image of another range is told; the ETL looks at all of them first.
    with pytest.raises(Unreadable, match="values up to 5000, expected 12 bits"):
        decode(encoded(np.full((8, 8), 5000, np.uint16)), sample_bits=12)


@pytest.mark.spark
def test_one_scale_holds_for_all_images_of_a_source_also_after_an_update(spark, tmp_path):
    source, dataset, options = tmp_path / "source", tmp_path / "dataset", EtlOptions.of(image_size=32)
    rng = np.random.default_rng(0)

    def write(name, image):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))

    def stored(name):
        column = {row["source"]: row["image"] for _, row in rows_of(dataset)}
        return np.frombuffer(column[name], np.uint8)[-32 * 32 * 3 :].reshape(32, 32, 3)[..., 0]

    images = {
        f"{kind}/{number}.png": rng.integers(0, 900 if number else 4000, (32, 32)).astype(np.uint16)
        for kind in ("sick", "well")
        for number in range(6)
    }
    images["sick/plain.png"] = rng.integers(0, 255, (32, 32)).astype(np.uint8)
    images["well/flat.png"] = np.full((32, 32), 7, np.uint8)
    for name, image in images.items():
        write(name, image)
    manifest = run_etl(spark, source, dataset, options)
    assert manifest.sample_bits == 12
    for name, image in images.items():
        np.testing.assert_array_equal(stored(name), image >> 4 if image.dtype == np.uint16 else image)
    assert {mark: found.examples for mark, found in manifest.marked.items()} == {ONE_VALUE: ("well/flat.png",)}
    assert all(claim.holds for claim in verify(spark, Dataset.open(dataset)))
    # What predicts prepares a file to the same bytes.
    prepared = ImagePreparation(crop=0, image_size=32, input_size=32, sample_bits=manifest.sample_bits)
    np.testing.assert_array_equal(
        prepared.of_content((source / "sick/1.png").read_bytes())[..., 0], stored("sick/1.png")
    )
    # A brighter image changes the scale of all.
    write("sick/bright.png", rng.integers(0, 65535, (32, 32)).astype(np.uint16))
    updated = run_etl(spark, source, dataset, options, update=True)
    assert updated.sample_bits == 16
    np.testing.assert_array_equal(stored("sick/1.png"), images["sick/1.png"] >> 8)
    np.testing.assert_array_equal(stored("sick/plain.png"), images["sick/plain.png"])
    assert all(claim.holds for claim in verify(spark, Dataset.open(dataset)))
