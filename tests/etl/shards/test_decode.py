"""Images of a shard that are not to be read or decoded become findings with a reason, and the others go on."""

import cv2
import numpy as np

from etl.options import EtlOptions
from etl.placement.place import Place
from etl.shards.decode import _decoded_row_groups
from etl.shards.findings import Decoding
from etl.shards.parquet import PlacedImage
from etl.source.rows import ImageRow
from hvdcells.images import decode


def test_large_files_are_not_read_and_large_images_not_decoded(tmp_path, monkeypatch):
    options = EtlOptions.of(max_megapixels=0.01, image_size=8)
    for name, side in (("small", 90), ("wide", 110), ("small again", 90)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((side, side, 3), 77, np.uint8))
    with (tmp_path / "sparse.bmp").open("wb") as file:
        file.write(b"BM")
        file.truncate(10**10)
    read = []
    monkeypatch.setattr(decode, "_read_local", lambda path, real=decode._read_local: read.append(path) or real(path))
    sources = ["small.png", "sparse.bmp", "wide.png", "small again.png"]
    rows = [ImageRow(source, (tmp_path / source).stat().st_size, "") for source in sources]
    placed = [PlacedImage(row, Place("train", -1, "", "")) for row in rows]
    decoding = Decoding(str(tmp_path), "", 8, 0, "raw", options.most_pixels, 0, options.decoding_digest())
    findings = {}
    ((stored, images),) = _decoded_row_groups([placed], decoding, findings, lambda *_: None)
    assert [row.source for row in stored] == ["small.png", "small again.png"]
    assert len(images) == 2
    assert findings["sparse.bmp"].reason == "a file of 10,000,000,000 bytes, expected at most 1,128,576"
    assert findings["wide.png"].reason == "PNG of 110 × 110 pixels, expected at most 10,000 in all"
    assert not [path for path in read if path.endswith("sparse.bmp")]


def test_another_limit_looks_at_the_images_again_and_the_usual_one_keeps_the_digest_of_earlier_versions():
    assert EtlOptions.of(max_megapixels=65).decoding_digest() != EtlOptions().decoding_digest()
    assert EtlOptions.of(max_megapixels=64).decoding_digest() == EtlOptions().decoding_digest()
