"""Arrays that TensorFlow takes over without a copy, and whose memory is used again afterwards."""

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

TENSOR_ALIGNMENT_BYTES = 64
"""TensorFlow takes over a numpy array that starts at a multiple of this; any other one it copies."""


class ArrayPool:
    """Makes arrays of one shape out of memory that comes back when nothing refers to them any more.

    Fresh memory is expensive: to have the kernel map and clear a batch's pages takes three times as long as to copy
    the images into it. The pool keeps as much as was ever in use at once.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = shape
        self._dtype = np.dtype(dtype)
        self._free: list[memoryview] = []

    def take(self) -> NDArray[Any]:
        """Return an array with whatever is in it; its memory is used again once it and all its views are gone."""
        try:
            memory = self._free.pop()  # one step, since several threads take and give back
        except IndexError:
            memory = self._aligned_memory()
        # Numpy names as the base of a view the array closest to a foreign buffer: `flat` lives as long as any view.
        flat = np.frombuffer(memory, self._dtype)
        weakref.finalize(flat, self._free.append, memory).atexit = False
        return flat.reshape(self.shape)

    def _aligned_memory(self) -> memoryview:
        num_bytes = math.prod(self.shape) * self._dtype.itemsize
        memory = np.empty(num_bytes + TENSOR_ALIGNMENT_BYTES, np.uint8)
        start = -memory.ctypes.data % TENSOR_ALIGNMENT_BYTES
        return memory[start : start + num_bytes].data
