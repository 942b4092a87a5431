"""Whatever lies in a source: every file is told as what it became, and the sum of all kinds is everything found."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.options import EtlOptions
from etl.source.layouts.detect import understand
from etl.source.listing import Listing
from hvdcells.errors import UserError
from tests.etl.cells import cell

IMAGE = cv2.imencode(".png", cell(1, 16))[1].tobytes()
MASK = cv2.imencode(".png", np.pad(np.full((8, 8), 255, np.uint8), 4))[1].tobytes()
FOLDERS = st.sampled_from(
    ["sick", "well", "train", "test", "masks", "$RECYCLE.BIN", ".hidden", "patient_1", "fold_0", "UID"]
)
NAMES = st.sampled_from(
    [
        "0.png",
        "1.png",
        "1_mask.png",
        "2.JPG",
        "UID_1_1_1_all.bmp",
        "labels.csv",
        "notes.txt",
        ".DS_Store",
        "t.tsv",
        "bad.csv.gz",
    ]
)
KINDS = st.sampled_from(["file", "file", "file", "mask", "junk", "link to nothing", "link to a file", "link up"])
ENTRIES = st.lists(st.tuples(st.lists(FOLDERS, max_size=3), NAMES, KINDS), max_size=30)
TABLE = "filename,label,patient_id\n0.png,sick,7\n1.png,well,8\n"
WRITERS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(TABLE.encode() if path.suffix in (".csv", ".tsv") else IMAGE),
    "mask": lambda path: path.write_bytes(MASK),
    "junk": lambda path: path.write_bytes(b"\0\1junk"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to a file": lambda path: path.symlink_to(__file__),
    "link up": lambda path: path.symlink_to(".."),
}


def things_in(root: str) -> int:
    """All files, what links lead to, and each folder that is not looked into."""
    found = 0
    for folder, subfolders, names in os.walk(root):
        found += len(names)
        kept = []
        for name in subfolders:
            place = Path(folder, name)
            if name.startswith(".") or place.is_symlink():
                found += 1
            else:
                kept.append(name)
        subfolders[:] = kept
    return found


BASES = {
    "folders": [f"{name}/{number}a.png" for name in ("sick", "well") for number in range(3)],
    "table": [f"{number}a.png" for number in range(4)],
    "cnmc": [f"fold_0/{name}/UID_9_{number}_1_{name}.bmp" for name in ("all", "hem") for number in range(3)],
}


@settings(max_examples=60, deadline=None)
@given(
    ENTRIES,
    st.sampled_from(sorted(BASES)),
    st.sampled_from([{}, {"exclude": ("*_mask.*",)}, {"include": ("*a.*", "*UID*")}]),
)
def test_the_sum_of_all_kinds_is_everything_that_was_found(entries, base, options):
    with tempfile.TemporaryDirectory() as root:
        for path in BASES[base]:
            Path(root, path).parent.mkdir(parents=True, exist_ok=True)
            Path(root, path).write_bytes(IMAGE)
        if base == "table":
            lines = [f"{path},{number % 2}" for number, path in enumerate(BASES[base])]
            Path(root, "cells.csv").write_text("\n".join(["path,label", *lines]))
            options = {}
        for folders, name, kind in entries:
            path = Path(root, *folders, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_symlink() and not path.exists():
                WRITERS[kind](path)
        try:
            # What folders beside them mean may be in doubt; then the level is said.
            level = {"class_level": 1} if base == "folders" else {}
            layout = understand(root, EtlOptions.of(layout=base, **level, **options))
        except UserError:
            return  # refused as a whole, with a reason
        listing = Listing(layout)
        told = listing.num_images + sum(layout.other_files.values()) + listing.num_unnamed
        assert told == things_in(root)
        assert listing.num_images == sum(listing.num_per_status.values())
