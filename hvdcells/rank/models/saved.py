"""The saved model: whole or not there, on disk or in S3.

A `.keras` file holds a graph of layers to be made again and called, functions among them, which is a program: Keras'
`safe_mode` lets `os.system` through. So no graph is ever made of a file. A model is built from the experiment, as it
was for its training, and takes from the file its arrays and a few numbers.
"""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.rank.models.either_keras import keras_of
from hvdcells.rank.models.hdf5 import BYTES_PER_WEIGHT, HDF5_SLACK_BYTES, check_hdf5
from hvdcells.rank.models.layers_as_data import SavedLayers, layers_in
from hvdcells.runs import heartbeat

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
"""What a `.keras` file holds."""
MOST_TEXT_BYTES = 2**26
"""Of the description of a model; that of NASNet-Large has 1 MB."""


@dataclass(frozen=True)
class SavedModel:
    """A model file, read as data."""

    location: str
    path: str
    """Of the file or its copy, on this disk."""
    layers: SavedLayers
    keras_version: str

    def load_into(self, model: Any) -> None:
        """Set all weights of a model to those of the file.

        Raises:
            UserError: the model is not built as the one of the file was, or the file is damaged.
        """
        version = keras_of(model).__version__
        if version.partition(".")[0] != self.keras_version.partition(".")[0]:
            raise _refused(self.location, f"Keras {self.keras_version} saved it, and the model is of Keras {version}")
        most_bytes = BYTES_PER_WEIGHT * model.count_params() + HDF5_SLACK_BYTES
        with tempfile.TemporaryDirectory() as folder, _damage_named(self.location):
            weights = Path(folder) / WEIGHTS
            with zipfile.ZipFile(self.path) as archive:
                weights.write_bytes(_content(archive, WEIGHTS, most_bytes))
            found, expected = check_hdf5(weights, most_bytes), len(model.weights)
            if found != expected:  # Keras would leave aside what the model has no place for
                raise ValueError(f"it has {found} arrays of weights where the model has {expected}")
            model.load_weights(weights)


def save_model(model: Any, location: str) -> None:
    """Save a model in Keras' own format, aside and renamed."""
    heartbeat.at("saving the model", may_be_long=True)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "model.keras"
        model.save(aside)
        storage.write_bytes(location, aside.read_bytes())


@contextmanager
def open_saved(location: str) -> Iterator[SavedModel]:
    """Open what `save_model` saved, for the block.

    Raises:
        UserError: nothing is there, or no model that `hvdcells train` has saved.
    """
    with _damage_named(location):
        copied = ExitStack()
        path = copied.enter_context(storage.local_copy(location))
    with copied:
        with _damage_named(location), zipfile.ZipFile(path) as archive:
            layers = layers_in(json.loads(_content(archive, CONFIG, MOST_TEXT_BYTES)))
            version = str(json.loads(_content(archive, METADATA, MOST_TEXT_BYTES))["keras_version"])
        yield SavedModel(location, path, layers, version)


def _content(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    if archive.getinfo(name).file_size > most_bytes:
        raise ValueError(f"{name} has more than {most_bytes:,} bytes")
    return archive.read(name)  # no more than that, whatever the archive holds


@contextmanager
def _damage_named(location: str) -> Iterator[None]:
    """Tell what zipfile, json, h5py and Keras raise for a file that is not what `save_model` wrote."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _refused(location, f"no file is there ({type(error).__name__})") from error
    except (zipfile.BadZipFile, zlib.error, LookupError, ValueError, TypeError, RuntimeError) as error:
        raise _refused(location, str(error) or type(error).__name__) from error
    except OSError as error:  # h5py's own have no number; those of a disk or a store are no damage
        if error.errno is not None:
            raise
        raise _refused(location, str(error)) from error


def _refused(location: str, why: str) -> UserError:
    return UserError(
        f"the model {location} cannot be used: {why}",
        "a model.keras that `hvdcells train` has saved, of the same model as the experiment's",
        "name a run directory; for other models, save the backbone's weights as .h5 and name that file",
    )


def weights_digest(model: Any) -> str:
    """Return the SHA-256 over all weights of a model, bit by bit."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
