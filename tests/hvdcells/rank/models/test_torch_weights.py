"""PyTorch's older files of weights: read as PyTorch laid them out, and nothing they ask for is run."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest

from hvdcells.rank.models.torch_weights import MAGIC, VERSION, read_state_dict

pytestmark = pytest.mark.tensorflow  # the room it lies in imports it


class Global:
    """Pickled as the name of something in a module, whether it is installed or not."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only its name is used")


class Call:
    """Pickled as a call of a global."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Storage:
    def __init__(self, numbers, kind="FloatStorage", key="0", count=None):
        self.numbers, self.kind, self.key = numbers, kind, key
        self.count = len(numbers) if count is None else count


class Pickler(pickle._Pickler):
    """Python's own pickler, taught to name globals that cannot be imported here."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            return None
        return super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", Global("torch", obj.kind), obj.key, "cpu", obj.count, None)
        return None


def pickled(value):
    import io

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def tensor(storage, offset, size, stride):
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), storage, offset, size, stride, False, OrderedDict())


def file_of(tensors, storages, little_endian=True, magic=MAGIC):
    head = [magic, VERSION, {"protocol_version": VERSION, "little_endian": little_endian}]
    content = b"".join(map(pickled, [*head, tensors, [each.key for each in storages]]))
    for each in storages:
        content += len(each.numbers).to_bytes(8, "little") + each.numbers.tobytes()
    return content


NUMBERS = np.arange(12, dtype="<f4")


def test_tensors_are_laid_out_by_their_strides_and_may_share_a_storage():
    floats, integer = Storage(NUMBERS), Storage(np.array([7], "<i8"), "LongStorage", "1")
    tensors = OrderedDict(
        rows=tensor(floats, 0, (3, 4), (4, 1)),
        columns=tensor(floats, 0, (4, 3), (1, 4)),
        part=tensor(floats, 5, (2, 2), (4, 2)),
        scalar=tensor(integer, 0, (), ()),
        nothing=tensor(floats, 0, (0, 4), (4, 1)),
    )
    found = read_state_dict(file_of(tensors, [floats, integer]))
    rows = NUMBERS.reshape(3, 4)
    for name, expected in {
        "rows": rows,
        "columns": rows.T,
        "part": [[5, 7], [9, 11]],
        "scalar": 7,
        "nothing": np.empty((0, 4)),
    }.items():
        np.testing.assert_array_equal(found[name], expected)
    assert found["scalar"].dtype == np.int64
    assert found["columns"].flags.c_contiguous


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (13,), (1,)),
        (1, (3, 4), (4, 1)),
        (12, (1,), (1,)),
        (0, (2, 2), (1, 11)),
        (0, (2,), (2**40,)),
        (0, (10**9,), (0,)),  # a few bytes that would become gigabytes
        (0, (3, 4), (4,)),
    ],
)
def test_what_reaches_outside_its_storage_is_refused(offset, size, stride):
    storage = Storage(NUMBERS)
    with pytest.raises(ValueError, match=r"weight reaches outside its storage of 12 numbers"):
        read_state_dict(file_of(OrderedDict(weight=tensor(storage, offset, size, stride)), [storage]))


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(-1, (1,), (1,)), (0, (-1,), (1,)), (5, (5,), (-1,)), ("0", (1,), (1,)), (0, [1], (1,)), (True, (1,), (1,))],
)
def test_what_is_no_place_is_refused(offset, size, stride):
    storage = Storage(NUMBERS)
    with pytest.raises(ValueError, match="weight is placed in another way"):
        read_state_dict(file_of(OrderedDict(weight=tensor(storage, offset, size, stride)), [storage]))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
    ],
)
def test_nothing_else_is_called(module, name, tmp_path):
    called = tmp_path / "called"
    storage = Storage(NUMBERS)
    tensors = OrderedDict(weight=tensor(storage, 0, (12,), (1,)), evil=Call(Global(module, name), f"touch {called}"))
    for content in (file_of(tensors, [storage]), pickled(Call(Global(module, name), f"touch {called}"))):
        with pytest.raises(ValueError, match=rf"it asks for {module}\.{name}"):
            read_state_dict(content)
    assert not called.exists()


def test_a_storage_is_not_called_and_nothing_of_ours_takes_attributes():
    storage = Storage(NUMBERS)
    calls = OrderedDict(weight=Call(Global("torch", "FloatStorage"), 10**9))
    with pytest.raises(ValueError, match="no file of PyTorch's tensors"):
        read_state_dict(file_of(calls, [storage]))
    rebuild = pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n"
    for state in (b"}U\x01aK\x01s", b"N}U\x01aK\x01s\x86"):  # BUILD by its dictionary, and by its slots
        content = b"".join(map(pickled, [MAGIC, VERSION, {"little_endian": True}]))
        content += b"\x80\x02" + rebuild + state + b"b."
        with pytest.raises(ValueError, match="no file of PyTorch's tensors"):
            read_state_dict(content + pickled([]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-1], "has not the 12 numbers"),
        (lambda content: content + b"\0", "more than its storages"),
        (lambda content: content[:40], "no file of PyTorch's tensors"),
        (lambda content: b"PK\x03\x04" + content, "no file of PyTorch's tensors"),
        (lambda content: b"", "no file of PyTorch's tensors"),
    ],
)
def test_damage_is_told(change, words):
    storage = Storage(NUMBERS)
    content = file_of(OrderedDict(weight=tensor(storage, 0, (12,), (1,))), [storage])
    with pytest.raises(ValueError, match=words):
        read_state_dict(change(content))


def test_what_is_no_dictionary_of_tensors_is_refused():
    storage, other = Storage(NUMBERS), Storage(NUMBERS, key="1")
    good = OrderedDict(weight=tensor(storage, 0, (12,), (1,)))
    for tensors, storages, more, words in (
        ([1, 2], [storage], {}, "other things than tensors"),
        (OrderedDict(weight="text"), [storage], {}, "other things than tensors"),
        (good, [storage, other], {}, "other storages"),
        (good, [], {}, "other storages"),
        (OrderedDict(weight=tensor("no storage", 0, (1,), (1,))), [], {}, "placed in another way"),
        (OrderedDict(weight=tensor(Storage(NUMBERS, count=10**12), 0, (1,), (1,))), [storage], {}, "has not the 10000"),
        (good, [storage], {"little_endian": False}, "order of bytes"),
        (good, [storage], {"magic": 1}, "no file of PyTorch's tensors"),
    ):
        with pytest.raises(ValueError, match=words):
            read_state_dict(file_of(tensors, storages, **more))
