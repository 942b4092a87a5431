"""The listing of a source: every image with an id of its own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etl.options import EtlOptions
from etl.source.layouts.detect import understand
from etl.source.listing import Listing, _hash, _not_unique
from etl.source.rows import read_rows
from tests.etl.cells import cell, write_image

SOURCES = st.lists(st.text("ab", min_size=1, max_size=3), unique=True, max_size=12)


@given(SOURCES, st.data())
def test_ids_are_unique_whatever_images_are_called(sources, data):
    ids = [data.draw(st.sampled_from([source, source[:1], source[:2], "a"])) for source in sources]
    replaced = _not_unique(*(np.array([_hash(name) for name in names], np.uint64) for names in (ids, sources)))
    unique = [source if _hash(name) in replaced else name for name, source in zip(ids, sources, strict=True)]
    assert len(set(unique)) == len(sources)
    if len(set(ids)) == len(ids):
        assert unique == ids


def test_images_that_differ_by_their_suffix_have_ids_of_their_own(tmp_path):
    for number, name in enumerate(("x.png", "x.jpg", "x.jpg.jpg", "y.png")):
        for class_name in ("all", "hem"):
            write_image(tmp_path / "source" / class_name / name, cell(number))
    listing = Listing(understand(str(tmp_path / "source"), EtlOptions.of()))
    (number,) = listing.deal_out(str(tmp_path / "listing"), 0, 1)
    rows = read_rows(str(tmp_path / "listing" / f"{number:05d}.arrows"))
    ids = {row.source: row.image_id for row in rows}
    assert len(set(ids.values())) == len(rows) == 8
    assert (ids["all/x.png"], ids["all/x.jpg"], ids["all/y.png"]) == ("all/x.png", "all/x.jpg", "all/y")
    assert ids["all/x.jpg.jpg"] == "all/x.jpg.jpg"
