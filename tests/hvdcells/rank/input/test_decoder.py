import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from etl.dataset.petastorm import unischema
from hvdcells.errors import UserError
from hvdcells.rank.input.decoder import RowGroupDecoder
from tests.small_dataset import encode


def draw(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def column_of(values, chunks=1):
    parts = np.array_split(np.arange(len(values)), chunks)
    return pa.chunked_array([pa.array([values[i] for i in part], pa.binary()) for part in parts], pa.binary())


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["raw", "png"]), st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_decodes_what_was_encoded(encoding, size, count, chunks, seed):
    images = draw(count, size, seed)
    column = column_of([encode(image, encoding) for image in images], chunks)
    decoded = RowGroupDecoder(size, encoding, size).decode(column, "here")
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, images)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_decodes_as_the_stock_codec_of_petastorm(encoding):
    field = unischema(16, encoding).fields["image"]
    image = draw(1, 16)[0]
    stored = bytes(field.codec.encode(field, image))
    assert np.array_equal(field.codec.decode(field, stored), image)
    assert np.array_equal(RowGroupDecoder(16, encoding, 16).decode(column_of([stored]), "here")[0], image)


def test_png_comes_out_as_red_green_blue():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    decoded = RowGroupDecoder(8, "png", 8).decode(column_of([encode(red, "png")]), "here")
    assert decoded[0, 0, 0].tolist() == [200, 0, 0]


def with_header(image, version, fortran_order=False):
    memory = io.BytesIO()
    npy.write_array(memory, np.asfortranarray(image) if fortran_order else image, version=version)
    return memory.getvalue()


def test_other_headers_of_the_same_meaning_are_read():
    images = draw(4, 12)
    values = [
        encode(images[0], "raw"),
        with_header(images[1], (2, 0)),
        with_header(images[2], (3, 0)),
        with_header(images[3], (1, 0), fortran_order=True),
    ]
    decoded = RowGroupDecoder(12, "raw", 12).decode(column_of(values), "here")
    assert np.array_equal(decoded, images)
    # All of one length, and still not the header that this numpy writes.
    decoded = RowGroupDecoder(12, "raw", 12).decode(column_of([values[3]] * 3), "here")
    assert np.array_equal(decoded, images[[3, 3, 3]])


def test_a_slice_of_a_column_is_read_from_its_place():
    images = draw(6, 8)
    whole = pa.array([encode(image, "raw") for image in images], pa.binary())
    decoded = RowGroupDecoder(8, "raw", 8).decode(pa.chunked_array([whole[2:5]]), "here")
    assert np.array_equal(decoded, images[2:5])


@pytest.mark.parametrize(
    ("encoding", "other"),
    [
        ("raw", np.zeros((9, 8, 3), np.uint8)),
        ("raw", np.zeros((8, 8, 3), np.uint16)),
        ("raw", np.zeros((8, 8), np.uint8)),
        ("png", np.zeros((9, 8, 3), np.uint8)),
        ("png", np.zeros((4, 4, 3), np.uint8)),
    ],
)
def test_an_image_of_another_size_or_type_is_refused(encoding, other):
    values = [encode(draw(1, 8)[0], encoding), encode(other, encoding)]
    with pytest.raises(UserError, match="file 7 holds uint"):
        RowGroupDecoder(8, encoding, 8).decode(column_of(values), "file 7")


def test_a_pickled_array_is_not_loaded():
    memory = io.BytesIO()
    np.save(memory, np.array([{"code": "run"}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="holds no image"):
        RowGroupDecoder(8, "raw", 8).decode(column_of([memory.getvalue()]), "here")


@pytest.mark.parametrize("output_size", [5, 8, 20])
def test_resizing_keeps_a_plain_colour(output_size):
    plain = np.full((8, 8, 3), (10, 120, 240), np.uint8)
    for encoding in ("raw", "png"):
        decoded = RowGroupDecoder(8, encoding, output_size).decode(column_of([encode(plain, encoding)] * 2), "here")
        assert decoded.shape == (2, output_size, output_size, 3)
        assert np.array_equal(decoded, np.broadcast_to(plain[0, 0], decoded.shape))


def test_memory_is_used_again_only_when_its_images_are_gone():
    images = draw(6, 8)
    decoder = RowGroupDecoder(8, "png", 8, most_rows=4)
    first, second = (column_of([encode(image, "png") for image in part]) for part in (images[:4], images[4:]))
    kept = decoder.decode(first, "here")
    again = decoder.decode(second, "here")
    assert np.array_equal(kept, images[:4])
    assert np.array_equal(again, images[4:])
    # A row group larger than the manifest says is decoded all the same.
    assert len(decoder.decode(column_of([encode(image, "png") for image in images]), "here")) == 6
