"""The page: files are dropped on it in a browser, and what it shows is looked at."""

import csv
import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.browser import BROWSER, browser
from tests.hvdcells.serving.conftest import png

SCREENSHOTS = os.environ.get("HVDCELLS_SCREENSHOTS")
"""A folder that gets pictures of the page, for who wants to look."""


def cell(colour) -> bytes:
    """Return a PNG of a disc on black."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(pixels, (32, 32), 26, colour[::-1], -1)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def files(tmp_path) -> list[Path]:
    contents = {
        "ill.png": cell((230, 40, 40)),
        "healthy.png": cell((40, 40, 230)),
        "between.png": cell((120, 100, 118)),
        "unlike.png": png((255, 255, 255)),
        "=formula.html": b"<img src=x onerror=alert(1)>",
        "<b>bold.png": cell((200, 60, 60)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in contents]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
def test_files_dropped_on_the_page_are_judged_explained_and_kept_in_a_table(server, files, tmp_path):
    with browser(tmp_path / "profile") as page:
        page.open(f"http://localhost:{server.port}/", 1100, 900)
        page.wait_for("document.getElementById('work')?.hidden === false")
        notice = page.value("document.querySelector('.notice').innerText")
        assert "Not a medical device" in notice
        assert "Synthetic" in notice
        x, y = page.value(
            "(() => { const r = document.getElementById('drop').getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        page.drop(files, x, y)
        page.wait_for(f"document.querySelectorAll('#cells li').length === {len(files)}")
        shown = page.value("[...document.querySelectorAll('#cells li')].map(item => item.innerText)")
        ill, healthy, between, unlike, formula, bold = shown
        assert ill.startswith("all")
        assert healthy.startswith("hem")
        assert "Refer" in between
        assert "Refer" not in ill
        assert "colours unlike" in unlike
        assert "not an image" in formula
        assert "<b>bold.png" in bold
        assert page.value("document.querySelectorAll('#cells b').length") == 0, "names are text, no HTML"
        assert "6 images" in page.value("document.getElementById('counts').innerText")
        saved = list(csv.DictReader(io.StringIO(page.value("table()"))))
        assert [row["name"] for row in saved][4] == "'=formula.html"
        assert float(saved[0]["probability_all"]) > 0.5
        assert saved[2]["refer"] == "true"
        assert "Not a medical device" in saved[0]["notice"]
        for width, height in ((1100, 900), (390, 844)):
            page.resize(width, height)
            overhang = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.value(overhang) <= 0, f"the page is wider than {width} pixels"
            if SCREENSHOTS:
                page.picture(Path(SCREENSHOTS, f"page-{width}.png"))
        page.value("document.querySelector('#cells li:nth-child(2) button').click()")  # the blue one
        page.wait_for("document.getElementById('map').open")
        red = "[...document.getElementById('map-picture').getContext('2d').getImageData(180, 180, 1, 1).data]"
        assert page.value(red)[0] > 60, "what the call rests on is red: the cell itself has 40 of it"
        if SCREENSHOTS:
            page.picture(Path(SCREENSHOTS, "map-390.png"))
        assert not page.complaints
