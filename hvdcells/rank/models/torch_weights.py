"""PyTorch's older files of weights (`.pth` that are no zip), read without PyTorch and without running what they say.

Such a file is five pickles (a magic number, a version, facts about the machine, the dictionary of tensors, the keys of
the storages) and then the numbers of each storage: how many, as an int64, and they themselves. A pickle is a program.
The one here may make an `OrderedDict`, name a storage and place a tensor in it, and nothing else; what it has placed
is compared with what the file holds before a number is read.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""Type of the numbers by the name of PyTorch's class."""


class _Storage(NamedTuple):
    kind: str
    key: str
    num_elements: int


class _Tensor(NamedTuple):
    storage: Any
    offset: Any
    size: Any
    stride: Any


class _Place:
    """Stands for `torch._utils._rebuild_tensor_v2`. Without attributes, so that a pickle can set none."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
        return _Tensor(storage, offset, size, stride)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Place()
        if module == "torch" and name in STORAGES:
            return name  # text: nothing that could be called
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(kind), str(key), str(), int(count), None) if kind in STORAGES and count >= 0:
                return _Storage(kind, key, count)
        raise pickle.UnpicklingError("it names a storage in another way")


def read_state_dict(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by their names, each an array of its own.

    Args:
        content: the whole file. Compare its digest first where it is known: memory for a hostile pickle is not bounded.

    Raises:
        ValueError: it is no such file, asks for anything but tensors, or places one outside its storage.
    """
    file = io.BytesIO(content)
    try:
        magic, version, machine, tensors, keys = (_Unpickler(file).load() for _ in range(5))
    except Exception as error:  # a broken pickle raises whatever it meets first
        raise ValueError(f"it is no file of PyTorch's tensors: {error}") from error
    is_little = isinstance(machine, dict) and machine.get("little_endian") is True
    if (magic, version) != (MAGIC, VERSION) or not is_little:
        raise ValueError("it is no file of PyTorch's tensors, in the order of bytes that this reads")
    if not isinstance(tensors, OrderedDict) or not all(isinstance(each, _Tensor) for each in tensors.values()):
        raise ValueError("it holds other things than tensors")
    stored = _read_storages(content, file.tell(), keys, tensors)
    return {str(name): _array(str(name), tensor, stored) for name, tensor in tensors.items()}


def _read_storages(
    content: bytes, position: int, keys: Any, tensors: Mapping[Any, _Tensor]
) -> dict[_Storage, NDArray[Any]]:
    """Return the numbers of each storage, which lie one after the other in the order of the keys."""
    storages = {each.storage.key: each.storage for each in tensors.values() if isinstance(each.storage, _Storage)}
    if not isinstance(keys, list) or set(keys) != set(storages) or len(keys) != len(storages):
        raise ValueError("its tensors lie in other storages than it holds")
    stored = {}
    for key in keys:
        storage = storages[key]
        dtype = np.dtype(STORAGES[storage.kind])
        begin = position + 8
        position = begin + storage.num_elements * dtype.itemsize
        if position > len(content) or int.from_bytes(content[begin - 8 : begin], "little") != storage.num_elements:
            raise ValueError(f"the storage {key} has not the {storage.num_elements} numbers it should have")
        stored[storage] = np.frombuffer(content, dtype, storage.num_elements, begin)
    if position != len(content):
        raise ValueError("it holds more than its storages")
    return stored


def _array(name: str, tensor: _Tensor, stored: Mapping[_Storage, NDArray[Any]]) -> NDArray[Any]:
    """Return a tensor as an array in the usual order; what lies outside its storage is refused."""
    storage, offset, size, stride = tensor
    numbers = stored.get(storage) if isinstance(storage, _Storage) else None
    if numbers is None or not _are_counts((offset,)) or not _are_counts(size) or not _are_counts(stride):
        raise ValueError(f"{name} is placed in another way")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=False))
    is_outside = math.prod(size) > 0 and last >= len(numbers)
    # More elements than numbers, by strides of zero, would be a short file that fills all memory.
    if len(size) != len(stride) or is_outside or math.prod(size) > len(numbers):
        raise ValueError(f"{name} reaches outside its storage of {len(numbers)} numbers")
    steps = tuple(step * numbers.itemsize for step in stride)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(numbers[offset:], size, steps)).reshape(size)


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and value >= 0 for value in values)
