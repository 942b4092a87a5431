"""Checksums of what a dataset stores, so that bytes that changed since it was written are noticed, not trained on.

XXH3 finds damage; it does not resist who changes a dataset on purpose. All of them follow from the rows, not from the
bytes of a file, so that who reads a part of a file can hold that part to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray


def pixel_hash(pixels: NDArray[np.uint8]) -> str:
    """Return a 128-bit hash (XXH3) of shape and pixels of an image of shape (height, width, 3), in hexadecimal."""
    state = xxhash.xxh3_128(f"{pixels.shape[0]}x{pixels.shape[1]}:".encode())
    state.update(np.ascontiguousarray(pixels).data)
    return state.hexdigest()


def row_group_checksum(pixel_hashes: Iterable[str], labels: Iterable[int]) -> str:
    """Return the checksum of what training reads of a row group: the hash of each stored image, and its label."""
    state = xxhash.xxh3_64()
    for of_image, label in zip(pixel_hashes, labels, strict=True):
        state.update(f"{of_image}{label}\n".encode())
    return state.hexdigest()


def checksum_of_read(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> str:
    """Return `row_group_checksum` of decoded images, RGB of shape (n, size, size, 3), and labels of shape (n,)."""
    return row_group_checksum(map(pixel_hash, images), labels.tolist())


def column_checksum(values: Iterable[Any]) -> str:
    """Return the checksum of a column of text or integers over the rows of a file, in their order."""
    return xxhash.xxh3_64_hexdigest("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))


def columns_that_differ(columns: Mapping[str, Sequence[Any]], checksums: Mapping[str, str]) -> list[str]:
    """Return the names of the columns whose values are not those that were written; one without a checksum passes."""
    return [
        name for name, values in columns.items() if name in checksums and column_checksum(values) != checksums[name]
    ]
