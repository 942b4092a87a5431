import cv2
import numpy as np
import pytest

from etl.dataset.petastorm import unischema
from etl.images.normalise import perceptual_hash, process
from hvdcells.data.checksums import pixel_hash
from hvdcells.data.stored_images import DamagedImageError, ImageColumn, decode_stored, encode
from hvdcells.images.decode import Unreadable, decode
from hvdcells.images.prepare import centre_square, resize
from tests.etl.cells import SAMPLE, cell, needs_sample


def encoded(image, suffix=".bmp", *options):
    return cv2.imencode(suffix, image, list(options))[1].tobytes()


def bgr(image):
    return np.ascontiguousarray(image[..., ::-1])


def test_channels_come_out_as_rgb():
    image = np.zeros((20, 20, 3), np.uint8)
    image[..., 0] = 200  # red
    assert decode(encoded(bgr(image)))[5, 5].tolist() == [200, 0, 0]


def test_grey_16_bit_and_alpha_become_rgb_of_8_bits():
    grey = np.full((10, 12), 70, np.uint8)
    assert decode(encoded(grey, ".png"))[0, 0].tolist() == [70, 70, 70]
    deep = np.full((10, 12, 3), 70 * 256 + 255, np.uint16)
    assert decode(encoded(deep, ".png")).dtype == np.uint8
    assert decode(encoded(deep, ".png"))[0, 0].tolist() == [70, 70, 70]
    see_through = np.full((10, 12, 4), 200, np.uint8)
    see_through[..., 3] = 0
    see_through[:5, :, 3] = 255
    pixels = decode(encoded(see_through, ".png"))
    assert pixels[0, 0].tolist() == [200, 200, 200]
    assert pixels[9, 0].tolist() == [0, 0, 0]


def test_cmyk_jpeg_becomes_rgb():
    pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the CMYK file; it comes with matplotlib")
    import io

    memory = io.BytesIO()
    pillow.fromarray(np.full((16, 16, 3), (200, 30, 30), np.uint8)).convert("CMYK").save(memory, "JPEG", quality=95)
    pixels = decode(memory.getvalue())
    assert pixels.shape == (16, 16, 3)
    assert pixels[8, 8, 0] > 150 > 80 > pixels[8, 8, 1]


def test_float_pixels_are_refused():
    with pytest.raises(Unreadable, match="float32"):
        decode(encoded(np.ones((8, 8, 3), np.float32), ".tiff"))


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_truncated_files_are_refused_and_never_filled_with_black(suffix, share):
    whole = encoded(bgr(cell(1, 64)), suffix)
    assert decode(whole).shape == (64, 64, 3)
    with pytest.raises(Unreadable):
        decode(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "content", [b"", b"this is text, not an image", b"BM", b"BM" + bytes(60), b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_refused(content):
    with pytest.raises(Unreadable):
        decode(content)


def test_the_hash_is_of_pixels_and_shape_not_of_the_file():
    image = cell(2, 40)
    as_bmp, as_png = encoded(bgr(image)), encoded(bgr(image), ".png")
    assert pixel_hash(decode(as_bmp)) == pixel_hash(decode(as_png))
    changed = image.copy()
    changed[0, 0, 0] += 1  # far outside of any crop
    assert pixel_hash(changed) != pixel_hash(image)
    assert pixel_hash(image.reshape(20, 80, 3)) != pixel_hash(image)


@needs_sample
def test_real_bmps_with_both_headers_decode():
    training = next(SAMPLE.glob("training_data/fold_0/all/*.bmp")).read_bytes()
    test = next(SAMPLE.glob("validation_data/*/*.bmp")).read_bytes()
    assert training[10] == 54
    assert test[10] == 138
    assert decode(training).shape == decode(test).shape == (450, 450, 3)
    assert decode(training)[0, 0].tolist() == [0, 0, 0]
    # The same pixels under the other header have the same hash.
    pixels = decode(test)
    assert pixel_hash(decode(encoded(bgr(pixels)))) == pixel_hash(pixels)


def test_the_crop_is_centred_and_keeps_scale():
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 255
    square = centre_square(image, 20)
    assert square.shape == (20, 20, 3)
    assert square.min() == 255
    assert centre_square(image, 0).shape == (60, 60, 3)


def test_an_image_smaller_than_the_crop_is_padded_not_stretched():
    image = np.full((10, 30, 3), 255, np.uint8)
    square = centre_square(image, 40)
    assert square.shape == (40, 40, 3)
    rows, columns = np.flatnonzero(square[..., 0].any(axis=1)), np.flatnonzero(square[..., 0].any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (15, 24, 5, 34)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_petastorm_codecs_read_what_is_stored(encoding):
    square = resize(cell(3, 48), 32)
    stored = encode(square, encoding)
    field = unischema(32, encoding).fields["image"]
    np.testing.assert_array_equal(field.codec.decode(field, stored), square)
    np.testing.assert_array_equal(decode_stored(stored, encoding), square)
    with pytest.raises(DamagedImageError):
        decode_stored(stored[:-20], encoding)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_a_column_is_what_the_stock_codecs_write_one_by_one(encoding):
    squares = [resize(cell(seed, 48), 32) for seed in range(5)]
    field = unischema(32, encoding).fields["image"]
    column = ImageColumn(3, 32, encoding)
    for members in (squares[:3], squares[3:]):  # its memory is used again
        for square in members:
            column.add(bgr(square))
        found = [bytes(stored) for stored in column.take().to_pylist()]
        assert found == [bytes(field.codec.encode(field, square)) for square in members]


@pytest.mark.parametrize("side", [32, 48, 100])
def test_an_image_is_processed_as_the_straightforward_way_does(side):
    content = encoded(bgr(cell(4, 64)))
    done = process(content, 32, side)
    pixels = decode(content)
    square = resize(centre_square(pixels, side), 32)
    np.testing.assert_array_equal(done.square, bgr(square))
    assert done.content_hash == pixel_hash(bgr(pixels))
    whole = square.astype(np.int64)
    assert done.channel_sums == tuple(whole.sum(axis=(0, 1)))
    assert done.channel_square_sums == tuple((whole**2).sum(axis=(0, 1)))
    grey = cv2.resize(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    bits = "".join("1" if value > sorted(low)[32] else "0" for value in low)
    assert done.perceptual_hash % 2**64 == int(bits, 2)


def test_the_perceptual_hash_is_near_for_near_images_and_far_for_others():
    def bits(one, other):
        return ((perceptual_hash(one) ^ perceptual_hash(other)) & (2**64 - 1)).bit_count()

    image = cv2.GaussianBlur(cell(5, 224), (0, 0), 6)
    brighter = np.clip(image.astype(np.int16) + 2, 0, 255).astype(np.uint8)
    other = cv2.GaussianBlur(cell(6, 224), (0, 0), 6)
    assert bits(image, image) == 0
    assert bits(image, brighter) <= 4
    assert bits(image, other) > 8
