"""JPEGs that are damaged and decode all the same, and JPEGs that a camera has turned."""

import os
import struct
import threading

import cv2
import numpy as np
import pytest

from hvdcells.images import jpeg
from hvdcells.images.decode import Unreadable, decode
from tests.etl.cells import cell


@pytest.fixture(scope="module")
def whole():
    """A JPEG of a cell."""
    return cv2.imencode(".jpg", cv2.GaussianBlur(cell(3, 300), (7, 7), 0))[1].tobytes()


def with_orientation(content, orientation):
    """Put an EXIF block with an orientation into a JPEG."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


def damaged(content, kind):
    middle, tenth = len(content) // 2, len(content) // 10
    return {
        "zeroed middle": content[:middle] + bytes(tenth) + content[middle + tenth :],
        "zeroed second half": content[:middle] + bytes(len(content) - middle - 2) + content[-2:],
        "cut and closed": content[:middle] + b"\xff\xd9",
        "filled up before the end": content[:-2] + b"\1\2\3\4" + content[-2:],
    }[kind]


@pytest.mark.parametrize("kind", ["zeroed middle", "zeroed second half", "cut and closed", "filled up before the end"])
def test_a_damaged_jpeg_is_told_from_a_whole_one(whole, kind, capfd):
    assert decode(whole).shape == (300, 300, 3)
    with pytest.raises(Unreadable, match="damaged JPEG: Corrupt JPEG data: "):
        decode(damaged(whole, kind))
    assert capfd.readouterr().err == ""  # the reason names it, not a line without a file's name
    assert decode(whole).shape == (300, 300, 3)  # and the next one is judged by itself


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_its_camera_says(whole, orientation):
    upright = decode(whole)[:200]
    content = cv2.imencode(".png", cv2.cvtColor(upright, cv2.COLOR_RGB2BGR))[1]
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    plain = cv2.imencode(".jpg", image)[1].tobytes()
    stored = decode(plain)
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    np.testing.assert_array_equal(decode(with_orientation(plain, orientation)), turned)


def test_a_grey_jpeg_stays_grey(whole):
    grey = cv2.imencode(".jpg", cv2.cvtColor(decode(whole), cv2.COLOR_RGB2GRAY))[1].tobytes()
    pixels = decode(grey)
    assert pixels.shape == (300, 300, 3)
    assert (pixels == pixels[..., :1]).all()


def test_threads_are_told_of_their_own_files_only(whole):
    contents = [whole, damaged(whole, "cut and closed")] * 20
    said = [""] * len(contents)

    def judge(first):
        for index in range(first, len(contents), 4):
            said[index] = jpeg.decode_jpeg(contents[index])[1]

    threads = [threading.Thread(target=judge, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(text) for text in said] == [False, True] * 20


def test_what_others_write_to_the_standard_error_is_handed_on(whole, monkeypatch, capfd):
    decode_with_opencv = cv2.imdecode

    def chatty(*arguments):
        os.write(2, b"somebody else's word\n")
        return decode_with_opencv(*arguments)

    monkeypatch.setattr(cv2, "imdecode", chatty)
    image, damage = jpeg.decode_jpeg(damaged(whole, "cut and closed"))
    assert image is not None
    assert damage.startswith("Corrupt JPEG data")
    assert capfd.readouterr().err == "somebody else's word\n"


def test_no_file_stays_open(whole):
    jpeg.decode_jpeg(whole)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(50):
        jpeg.decode_jpeg(whole)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_forked_process_hears_its_own_decoder_only(whole):
    jpeg.decode_jpeg(whole)
    child = os.fork()
    if child == 0:
        _, damage = jpeg.decode_jpeg(damaged(whole, "cut and closed"))
        os._exit(0 if damage else 1)
    assert jpeg.decode_jpeg(whole)[1] == ""
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert jpeg.decode_jpeg(whole)[1] == ""


def test_a_jpeg_with_all_of_its_pixels_is_taken_with_more_behind_it_or_without_an_end(whole):
    wanted = decode(whole)
    np.testing.assert_array_equal(decode(whole + bytes(range(200)) * 100), wanted)
    np.testing.assert_array_equal(decode(whole[:-2]), wanted)
    # The end marker of a preview in the header is none of the image.
    preview = b"\xff\xe1" + struct.pack(">H", 5010) + b"Exif\0\0" + bytes(4000) + b"\xff\xd9" + bytes(1000)
    with_preview = whole[:2] + preview + whole[2:]
    np.testing.assert_array_equal(decode(with_preview[:-2]), wanted)
    with pytest.raises(Unreadable, match="truncated JPEG: no end marker"):
        decode(with_preview[: -len(whole) // 3])


def test_of_a_progressive_jpeg_the_end_has_to_be_there(whole):
    image = cv2.cvtColor(decode(whole), cv2.COLOR_RGB2BGR)
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(progressive + bytes(5000)).shape == (300, 300, 3)
    for kept in (len(progressive) - 2, len(progressive) // 2):  # its decoder would not miss what is not there
        with pytest.raises(Unreadable, match="truncated JPEG: no end marker"):
            decode(progressive[:kept])
