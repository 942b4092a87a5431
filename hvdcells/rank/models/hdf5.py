"""HDF5 files of weights that nobody vouches for: looked at before Keras reads them."""

from collections.abc import Iterator
from pathlib import Path

import h5py

MOST_OBJECTS = 200_000
"""Groups and arrays of a file; NASNet-Large, the application with the most layers, has some 7,000."""
BYTES_PER_WEIGHT = 32
"""A file may hold, beside float32 weights, an optimizer's variables for each."""
HDF5_SLACK_BYTES = 2**24
"""What a file may take beside its arrays: 2 kB or so for each array and group."""
SAFE_KINDS = "fiub"
"""Kinds of numpy types that an array of weights may have: numbers. Others lead to memory that the file decides on."""


def check_hdf5(path: Path, most_bytes: int) -> int:
    """Return how many arrays a file holds; refuse a file that holds anything but numbers of its own.

    HDF5 can take an array out of another file of this machine, unfold a few bytes to gigabytes, and link a group to
    itself.

    Args:
        path: of the file, on this disk.
        most_bytes: what all its arrays together may take in memory.

    Raises:
        ValueError: it is no HDF5 file, or holds links, arrays kept elsewhere, arrays of other things than numbers, or
            more than fits.
    """
    try:
        with h5py.File(path, "r") as file:
            num_bytes = num_arrays = 0
            for name, array in _arrays(file):
                if array.external or array.is_virtual:
                    raise ValueError(f"the array {name} is kept in another file")
                if array.dtype.kind not in SAFE_KINDS or array.dtype.subdtype or array.dtype.hasobject:
                    raise ValueError(f"the array {name} holds {array.dtype}, no numbers")
                num_arrays += 1
                num_bytes += array.size * array.dtype.itemsize
                if num_bytes > most_bytes:
                    raise ValueError(f"its arrays take more than the {most_bytes:,} bytes of the model's weights")
            return num_arrays
    except (OSError, RuntimeError, KeyError, TypeError) as error:  # what h5py makes of damage
        raise ValueError(f"no whole HDF5 file: {error}") from error


def _arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield all arrays of a file by their names, without following any link but those that hold the file together."""
    groups, seen, num_objects = [("", file["/"])], set(), 0
    while groups:
        prefix, group = groups.pop()
        for name in group:
            num_objects += 1
            if num_objects > MOST_OBJECTS:
                raise ValueError(f"it holds more than {MOST_OBJECTS:,} arrays and groups")
            where = f"{prefix}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link")
            found = group[name]
            if isinstance(found, h5py.Group):
                address = h5py.h5o.get_info(found.id).addr
                if address in seen:
                    raise ValueError(f"the group {where} is there twice")
                seen.add(address)
                groups.append((where, found))
            elif isinstance(found, h5py.Dataset):
                yield where, found
            else:
                raise ValueError(f"{where} is neither an array nor a group")
