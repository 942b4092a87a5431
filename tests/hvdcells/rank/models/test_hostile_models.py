"""Model files of others: they never run code, read elsewhere or fill the memory."""

import contextlib
import json
import zipfile

import h5py
import numpy as np
import pytest
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.rank.models import build_model, load_model
from hvdcells.rank.models.hdf5 import check_hdf5
from hvdcells.rank.models.layers_as_data import layers_in
from hvdcells.rank.models.saved import save_model
from tests.hvdcells.hostile import model_that_runs

pytestmark = pytest.mark.tensorflow

OPTIONS = Model(width=0.2)
STATISTICS = (100.0, 90.0, 110.0), (50.0, 40.0, 60.0)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    location = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(build_model(OPTIONS, 24, *STATISTICS, seed=1), str(location))
    return location


def rewritten(original, target, **contents):
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, contents.get(name.split(".")[-1], old.read(name)))
    return str(target)


def test_a_layer_that_runs_a_command_is_never_made(original, tmp_path):
    hostile, mark = tmp_path / "hostile.keras", tmp_path / "mark"
    model_that_runs(original, hostile, f"touch {mark}")
    with contextlib.suppress(Exception):
        tf_keras.models.load_model(hostile, compile=False, safe_mode=True)
    assert mark.exists(), "the attack no longer works on Keras itself: this test shows nothing"
    mark.unlink()
    loaded = load_model(OPTIONS, str(hostile))
    build_model(Model(width=0.2, weights=str(hostile)), 24, *STATISTICS, seed=0)
    assert not mark.exists()
    own = load_model(OPTIONS, str(original)).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(own, loaded.get_weights(), strict=True))


def test_nothing_of_the_description_is_imported(original, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with zipfile.ZipFile(original) as archive:
        config = archive.read("config.json").decode()
    location = rewritten(original, tmp_path / "m.keras", json=config.replace("keras.layers", "planted").encode())
    with pytest.raises(UserError, match="cannot be used"):  # metadata.json is replaced too
        load_model(OPTIONS, location)
    layers_in(json.loads(config.replace("keras.layers", "planted")))


def changed(config, path, value):
    """Return the configuration with one value changed, at a path of keys."""
    config = json.loads(json.dumps(config))
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


NORMALIZATION = ("config", "layers", 1, "config", "layers", 1, "config")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*NORMALIZATION, "mean"), [1, float("nan"), 2]),
        ((*NORMALIZATION, "mean"), [1e9, 0, 0]),
        ((*NORMALIZATION, "mean"), [[1, 2, 3]]),
        ((*NORMALIZATION, "variance"), [0, 1, 1]),
        ((*NORMALIZATION, "variance"), None),
        ((*NORMALIZATION, "invert"), True),
        ((*NORMALIZATION, "axis"), [1]),
        (("config", "layers", 1, "config", "layers", 1, "class_name"), "Lambda"),
        (("config", "layers", 0, "config", "batch_input_shape"), [None, 10**9, 10**9, 3]),
        (("config", "layers", 0, "config", "batch_input_shape"), "x"),
        (("config", "layers", 4, "config", "units"), 10**12),
        (("config", "layers", 4, "config", "activation"), "sigmoid"),
        (("config", "layers", 3, "config", "rate"), "0.5"),
        (("config", "layers"), {}),
        (("config",), []),
    ],
)
def test_a_description_that_does_not_fit_is_refused(original, path, value):
    with zipfile.ZipFile(original) as archive:
        config = json.loads(archive.read("config.json"))
    layers_in(config)
    with pytest.raises((ValueError, KeyError)):
        layers_in(changed(config, path, value))


def hdf5(tmp_path, write):
    location = tmp_path / "w.h5"
    with h5py.File(location, "w") as file:
        write(file)
    return location


def of_another_file(file):
    file.create_dataset("a", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "a", (4,))
    file.create_virtual_dataset("a", layout)


def link_outside(file):
    file["a"] = h5py.ExternalLink("/tmp/other.h5", "/a")


def soft_link(file):
    file["a"] = h5py.SoftLink("/a")


def loop(file):
    file.create_group("a")["b"] = file["/"]
    file["a/c"] = file["a"]


def texts(file):
    file.create_dataset("a", data=["x"], dtype=h5py.string_dtype())


def bomb(file):
    file.create_dataset("a", (10**10,), "f4", chunks=(10**6,), compression="gzip")


@pytest.mark.parametrize("write", [of_another_file, virtual, link_outside, soft_link, loop, texts, bomb])
def test_weights_hold_numbers_of_their_own_alone(write, tmp_path):
    with pytest.raises(ValueError, match=r"link|kept in another file|no numbers|more than|there twice"):
        check_hdf5(hdf5(tmp_path, write), most_bytes=10**6)


def test_what_a_file_unfolds_to_is_looked_at_before(original, tmp_path):
    bomb = rewritten(original, tmp_path / "m.keras", h5=bytes(10**8))
    assert (tmp_path / "m.keras").stat().st_size < 10**6
    with pytest.raises(UserError, match="has more than"):
        load_model(OPTIONS, bomb)


@pytest.mark.parametrize("content", [b"", b"PK\5\6" + bytes(18), b"x" * 100])
def test_files_that_are_no_models_are_refused_with_their_name(content, tmp_path):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(UserError, match=r"model.keras cannot be used"):
        load_model(OPTIONS, str(tmp_path / "model.keras"))
    with pytest.raises(UserError, match="no file is there"):
        load_model(OPTIONS, str(tmp_path / "nowhere.keras"))


def test_a_model_of_another_experiment_is_refused(original):
    with pytest.raises(UserError, match=r"cannot be used"):
        load_model(Model(width=0.4), str(original))


def test_a_damaged_file_is_refused_and_never_ends_the_process(original, tmp_path):
    with zipfile.ZipFile(original) as archive:
        weights = archive.read("model.weights.h5")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = bytearray(weights)
        for place in rng.integers(0, 2000, 8):
            damaged[place] = rng.integers(256)
        location = tmp_path / "m.keras"
        with zipfile.ZipFile(original) as old, zipfile.ZipFile(location, "w") as new:
            for name in old.namelist():
                new.writestr(name, bytes(damaged) if name.endswith("h5") else old.read(name))
        try:
            load_model(OPTIONS, str(location))
        except UserError:
            refused += 1
    assert refused
