import numpy as np
import pytest

from hvdcells.rank.input.buffers import TENSOR_ALIGNMENT_BYTES, ArrayPool


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_once_the_array_is_gone():
    pool = ArrayPool((4, 5, 3), np.uint8)
    first = pool.take()
    second = pool.take()
    assert not np.shares_memory(first, second)
    freed = address(first)
    del first
    assert address(pool.take()) == freed


def test_a_view_keeps_its_memory():
    pool = ArrayPool((4, 5, 3), np.uint8)
    array = pool.take()
    array[:] = 7
    view = array[1:, 2].reshape(-1)[3:]
    del array
    pool.take()[:] = 9
    assert np.all(view == 7)


def test_arrays_are_aligned_writable_and_of_the_shape():
    for shape, dtype in (((3, 7), np.uint8), ((1,), np.float32), ((32, 9, 9, 3), np.int64)):
        array = ArrayPool(shape, dtype).take()
        assert address(array) % TENSOR_ALIGNMENT_BYTES == 0
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.writeable
        assert array.flags.c_contiguous


@pytest.mark.tensorflow
def test_tensorflow_takes_an_array_over_and_gives_it_back():
    import gc

    import tensorflow as tf

    pool = ArrayPool((64, 64), np.uint8)
    used = set()

    def next_array():
        array = pool.take()
        array[:] = len(used) % 256
        used.add(address(array))
        return array

    batches = tf.data.Dataset.range(50).map(lambda _: tf.numpy_function(next_array, [], tf.uint8)).prefetch(2)
    kept = next(iter(batches.take(1)))
    before = kept.numpy().copy()
    for _ in batches:
        pass
    gc.collect()
    assert len(used) < 15, "memory never came back"
    assert np.array_equal(kept.numpy(), before), "memory came back while a tensor still held it"
