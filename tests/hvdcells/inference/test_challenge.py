"""C-NMC's submission: one file, one line an image in the order of numbers, and no gaps."""

import io
import zipfile

import pytest

from hvdcells.errors import UserError
from hvdcells.inference.challenge import MEMBER, submission


def calls(count, without=()):
    # Not in order, as a listing by names is not: 1, 10, 100, …
    numbers = sorted((number for number in range(1, count + 1) if number not in without), key=str)
    return [(f"C-NMC_test_final_phase_data/{number}.bmp", number % 3 == 0) for number in numbers]


@pytest.mark.parametrize("count", [1867, 2586])
def test_line_n_is_image_n(count):
    content = submission(calls(count))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [MEMBER] == ["isbi_valid.predict"]
        lines = archive.read(MEMBER).decode("ascii").split("\n")
    assert lines == [*(str(int(number % 3 == 0)) for number in range(1, count + 1)), ""]
    assert content == submission(reversed(calls(count)))


@pytest.mark.parametrize("missing", [(1,), (2586,), (17, 1867, 1868), tuple(range(100, 200))])
def test_gaps_are_refused_and_named(missing):
    with pytest.raises(UserError, match=rf"no prediction of {missing[0]}\.bmp"):
        submission(calls(2586, missing))


@pytest.mark.parametrize("other", ["a/7.bmp", "UID_1_1_1_all.bmp", "07.bmp", "0.bmp", "2587.bmp", "-1.bmp", "x/².bmp"])
def test_other_images_and_doubled_ones_are_refused(other):
    with pytest.raises(UserError, match="not of it, or twice"):
        submission([*calls(2586), (other, True)])


def test_no_image_at_all_is_refused():
    with pytest.raises(UserError, match="1857 more"):
        submission([])
