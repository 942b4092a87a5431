"""Images that somebody made to end the process, to fill the memory or never to end: each becomes a reject."""

import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import cv2
import numpy as np
import psutil
import pytest

from hvdcells.data.stored_images import DamagedImageError, decode_stored
from hvdcells.images import apart
from hvdcells.images.apart import CrashedError, DecodingProcess, RefusedError
from hvdcells.images.decode import Unreadable, decode, decode_bgr, read_ahead, read_image
from hvdcells.images.files import list_files
from hvdcells.images.formats import FORMATS, format_of

PIXELS = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (34, 41, 3), dtype=np.uint8), (5, 5), 0)
ENDINGS = {"BMP": ".bmp", "PNG": ".png", "JPEG": ".jpg", "TIFF": ".tiff", "WebP": ".webp", "JPEG 2000": ".jp2"} | {
    "PNM": ".ppm"
}


def encoded(name, pixels=PIXELS, *options):
    return cv2.imencode(ENDINGS[name], pixels, options)[1].tobytes()


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND")


def black_png(side):
    packer = zlib.compressobj(9)
    lines = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    return png(side, side, chunk(b"IDAT", lines))


@pytest.mark.parametrize("name", ENDINGS)
def test_every_format_is_known_by_its_first_bytes_and_its_header_tells_its_size(name):
    content = encoded(name)
    found = format_of(content)
    assert found.name == name
    assert found.size(content) == (41, 34)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decode_bgr(content), expected)
    assert {each.name for each in FORMATS} == set(ENDINGS)


@pytest.mark.parametrize(
    ("name", "pixels", "options"),
    [
        ("WebP", PIXELS, (cv2.IMWRITE_WEBP_QUALITY, 101)),
        ("WebP", np.dstack([PIXELS, PIXELS[..., 0]]), (cv2.IMWRITE_WEBP_QUALITY, 50)),
        ("JPEG", PIXELS, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        ("TIFF", PIXELS.astype(np.uint16) * 257, (cv2.IMWRITE_TIFF_COMPRESSION, 5)),
        ("PNG", np.dstack([PIXELS, PIXELS[..., 0]]).astype(np.uint16) * 257, ()),
        ("BMP", np.dstack([PIXELS, PIXELS[..., 0]]), ()),
        ("PNM", PIXELS.astype(np.uint16) * 257, ()),
    ],
)
def test_their_other_kinds_too(name, pixels, options):
    content = encoded(name, pixels, *options)
    assert format_of(content).size(content) == (41, 34)
    assert decode(content).shape == (34, 41, 3)


def test_sixteen_bits_and_transparency_come_out_as_they_did():
    deep = np.random.default_rng(1).integers(0, 65536, (300, 7, 4), dtype=np.uint16)
    found = decode_bgr(encoded("PNG", deep))
    high = (deep >> 8).astype(np.uint16)
    assert np.array_equal(found, (high[..., :3] * high[..., 3:] + 127) // 255)


@pytest.mark.parametrize(
    "begin",
    [b"\x76\x2f\x31\x01", b"#?RADIANCE\n", b"\x59\xa6\x6a\x95", b"GIF89a", b"PF\n1 1\n", b"P7\n", b"\0\0\1\0", b"%PDF"],
)
def test_other_formats_never_reach_a_decoder(begin, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it reached OpenCV"))
    with pytest.raises(Unreadable, match="not an image that is read here"):
        decode_bgr(begin + bytes(1000))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (black_png(16384), "PNG of 16384 × 16384 pixels, expected at most 64,000,000"),
        (png(2**31 - 1, 2**31 - 1, chunk(b"IDAT")), "PNG of"),
        (
            png(4, 4, chunk(b"IDAT"))[:-16] + struct.pack(">I", 2**31 - 20) + b"IDAT" + bytes(8),
            "truncated PNG: no end chunk",
        ),
        (png(4, 4), "no pixels"),
        (png(4, 4, chunk(b"acTL", bytes(8)), chunk(b"IDAT")), "animation"),
        (b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(30) + b"\xff\xd9", "JPEG of 65535 × 65535"),
        (b"\xff\xd8\xff\xc2\0\x11\x08\x20\0\x1e\0\x03" + b"\xff\xda" * 100 + b"\xff\xd9", "again and again"),
        (b"P6\n99999 99999\n255\n" + bytes(20), "PNM of 99999 × 99999"),
        (b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + b"\xff\xff\xff\xff\xff\xff" + bytes(8), "WebP of 16777216 ×"),
        (b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 47, 0, 2**30, 2**30, 0, 0), "JPEG 2000 of 1073741824 ×"),
    ],
)
def test_what_a_header_claims_is_looked_at_before_anything_is_allocated(content, reason, monkeypatch):
    assert len(content) < 2**20
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it reached OpenCV"))
    with pytest.raises(Unreadable, match=reason):
        decode_bgr(content)


def test_the_limit_can_be_another():
    content = encoded("PNG")
    assert decode_bgr(content, most_pixels=34 * 41).shape == (34, 41, 3)
    for name in ENDINGS:
        with pytest.raises(Unreadable, match="of 41 × 34 pixels, expected at most 1,393"):
            decode_bgr(encoded(name), most_pixels=34 * 41 - 1)
    with pytest.raises(Unreadable, match="a file of 2,000,000 bytes"):
        decode_bgr(b"BM" + bytes(1_999_998), most_pixels=100)


@pytest.fixture
def process():
    made = DecodingProcess(10**6)
    yield made
    made.close()


def script(tmp_path, monkeypatch, body):
    """Let another program take the place of the one that decodes, and misbehave where OpenCV would."""
    path = tmp_path / "decoding.py"
    path.write_text("import os, sys, time\n" + body)
    monkeypatch.setattr(apart, "SCRIPT", path)


def test_a_file_that_ends_its_decoder_is_named_and_the_next_one_decoded(process, tmp_path, monkeypatch):
    script(tmp_path, monkeypatch, "sys.stdin.buffer.read(8)\nos.kill(os.getpid(), 11)\n")
    with pytest.raises(CrashedError, match=r"ends the process \(SIGSEGV\)"):
        process.decode(encoded("JPEG 2000"))
    monkeypatch.undo()
    assert process.decode(encoded("JPEG 2000")).shape == (34, 41, 3)


def test_one_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    script(tmp_path, monkeypatch, "sys.stdin.buffer.read(8)\nwhile True: pass\n")
    process = DecodingProcess(10**6, most_seconds=0.5)
    with pytest.raises(CrashedError, match=r"takes longer than 0.5 s"):
        process.decode(encoded("TIFF"))
    process.close()


def test_it_has_little_memory_and_says_what_it_could_not_decode(process):
    with pytest.raises(RefusedError):
        process.decode(b"II*\0" + bytes(100))
    assert process.decode(encoded("TIFF")).shape == (34, 41, 3)  # the same process goes on
    with pytest.raises(RefusedError, match=r"pixels|size"):
        process.decode(encoded("TIFF", np.zeros((1001, 1000), np.uint8)))


def test_it_ends_with_who_started_it():
    ask = (
        "from hvdcells.images.apart import decode_apart, _ours; import cv2, numpy, os\n"
        "decode_apart(cv2.imencode('.tiff', numpy.zeros((3, 3), 'u1'))[1].tobytes(), 100)\n"
        "print([each._running.pid for each in _ours.values()], flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    (pid,) = (int(each) for each in done.stdout.strip().strip("[]").split(","))
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout=60)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("place", ["pipe", "device", "loop", "folder"])
def test_only_files_are_read(place, tmp_path):
    path = tmp_path / "image.bmp"
    if place == "pipe":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if place == "device" else path)
    expected = {"pipe": "no regular file", "device": "no regular file", "loop": "a link that leads to itself"}
    for found in (*read_ahead(["image.bmp"], str(tmp_path)), read_image("image.bmp", str(tmp_path))):
        assert found == expected.get(place, "a folder, not a file")


def test_stored_pngs_are_looked_at_too():
    for content in (encoded("JPEG 2000"), png(4, 4), png(5000, 5000, chunk(b"IDAT")), encoded("PNG")[:-40]):
        with pytest.raises(DamagedImageError):
            decode_stored(content, "png")
    lying = png(4, 4, chunk(b"IDAT"))[:-16] + struct.pack(">I", 2**31 - 20) + b"IDAT" + bytes(8) + chunk(b"IEND")
    with pytest.raises(DamagedImageError):
        decode_stored(lying, "png")
    assert decode_stored(encoded("PNG"), "png").shape == (34, 41, 3)


@pytest.mark.parametrize(
    "links",
    [{"a/up": ".."}, {"a/self": "self"}, {"a/b": "../c", "c/a": "../a"}, {"a/here": "."}, {"a/image.bmp": "image.bmp"}],
    ids=["up", "itself", "two that lead to each other", "here", "a file that is itself"],
)
def test_links_in_a_source_that_lead_in_a_circle_are_walked_once(links, tmp_path):
    for name in ("a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.bmp").write_bytes(b"BM")
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    found = [file.path for file in list_files(str(tmp_path))]
    assert {"a/x.bmp", "c/x.bmp"} <= set(found)
    assert len(found) <= 6  # other ways to a folder are followed, each once


def test_a_link_to_another_folder_is_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.bmp").write_bytes(b"BM")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/all").symlink_to(tmp_path / "elsewhere")
    assert [file.path for file in list_files(str(tmp_path / "source"))] == ["all/x.bmp"]
