"""Images with the same pixels, images that look the same, and the subjects joined by them. Plain numpy and scipy."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csgraph

FACT = np.dtype([("high", "u8"), ("low", "u8"), ("perceptual", "u8"), ("shard", "i4"), ("index", "i4")])
"""An image: both halves of the hash of its stored pixels, its perceptual hash, its shard, its place in the findings."""
NUM_QUARTERS = 4
MOST_EQUAL_QUARTERS = 1000
_BITS_SET: npt.NDArray[np.uint8] = np.array([number.bit_count() for number in range(2**16)], np.uint8)

Facts = npt.NDArray[np.void]
"""An array of `FACT`."""
Image = tuple[int, int]
"""Shard, and place in its findings."""


def facts(shard: int, indices: Sequence[int], stored_hashes: Sequence[str], perceptual_hashes: Sequence[int]) -> Facts:
    """Return an array of `FACT` for images of a shard; hashes of stored pixels are 32 hexadecimal digits."""
    table = np.empty(len(indices), FACT)
    halves = np.frombuffer(bytes.fromhex("".join(stored_hashes)), ">u8").reshape(-1, 2)
    table["high"], table["low"] = halves[:, 0], halves[:, 1]
    table["perceptual"] = np.array(perceptual_hashes, np.int64).view(np.uint64)
    table["shard"], table["index"] = shard, indices
    return table


def quarter_of(images: Facts, quarter: int) -> npt.NDArray[np.uint64]:
    """Return 16 bits of the perceptual hashes."""
    return (images["perceptual"] >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)


def identical_sets(images: Facts) -> list[list[Image]]:
    """Return the sets of images with the same stored pixels."""
    images = images[np.lexsort((images["index"], images["shard"], images["low"], images["high"]))]
    as_before = (images["high"][1:] == images["high"][:-1]) & (images["low"][1:] == images["low"][:-1])
    sets: list[list[Image]] = []
    last = -1
    for position in np.flatnonzero(as_before).tolist():
        if position != last:
            sets.append([_name(images[position])])
        sets[-1].append(_name(images[position + 1]))
        last = position + 1
    return sets


def near_pairs(images: Facts, quarter: int, most_bits: int) -> set[tuple[Image, Image]]:
    """Return the pairs that look the same and are not identical, among images that share a quarter of their hash.

    Perceptual hashes that differ in at most `most_bits` ≤ 3 of 64 bits are equal in at least one of four quarters: only
    images that share one are compared. A quarter that more than a thousand images share (blank ones, say) tells
    nothing and would cost the square of their number: it is left out.
    """
    keys = quarter_of(images, quarter)
    order = np.argsort(keys, kind="stable")
    images, keys = images[order], keys[order]
    _, first, num_equal = np.unique(keys, return_index=True, return_counts=True)
    last = np.repeat(first + num_equal - 1, num_equal)
    position = np.flatnonzero(np.repeat(num_equal <= MOST_EQUAL_QUARTERS, num_equal))
    found: list[tuple[Image, Image]] = []
    step = 0
    while len(position):
        step += 1
        position = position[position + step <= last[position]]
        differing = images["perceptual"][position] ^ images["perceptual"][position + step]
        near = position[_num_bits(differing) <= most_bits]
        one, other = images[near], images[near + step]
        differ = (one["high"] != other["high"]) | (one["low"] != other["low"])
        found += zip(map(_name, one[differ]), map(_name, other[differ]), strict=True)
    return {(min(pair), max(pair)) for pair in found}


def _num_bits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    parts = values.view(np.uint16).reshape(-1, 4)
    first, second, third, fourth = (_BITS_SET[parts[:, number]] for number in range(4))
    return first + second + third + fourth


def _name(image: np.void) -> Image:
    return int(image["shard"]), int(image["index"])


def leakage_groups(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the leakage group of each subject that is joined with others: the first of all names in it.

    Groups are the connected components of the pairs: subjects are joined over any number of steps. The worst of
    10,000,000 pairs, no two with a name in common, takes 3.6 GB for the whole process and a minute of CPU.

    Args:
        pairs: of different subjects, in any order; repeats do no harm.
    """
    number_of: dict[str, int] = {}
    ends = np.fromiter((number_of.setdefault(name, len(number_of)) for pair in pairs for name in pair), np.int32)
    names = list(number_of)
    del number_of
    joined = coo_matrix((np.ones(len(ends) // 2, bool), (ends[::2], ends[1::2])), shape=(len(names), len(names)))
    _, group_numbers = csgraph.connected_components(joined, directed=False)
    _, members = np.unique(group_numbers, return_index=True)
    first_of = [names[member] for member in members]
    for name, number in zip(names, group_numbers.data, strict=True):  # a buffer gives its integers one by one
        first_of[number] = min(first_of[number], name)
    return {name: first_of[number] for name, number in zip(names, group_numbers.data, strict=True)}
