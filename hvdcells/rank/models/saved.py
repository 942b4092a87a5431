"""The saved model: whole or not there, on disk or in S3."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from hvdcells import storage
from hvdcells.rank.models.either_keras import keras_that_saved
from hvdcells.runs import heartbeat


def save_model(model: Any, location: str) -> None:
    """Save a model in Keras' own format, aside and renamed."""
    heartbeat.at("saving the model", may_be_long=True)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "model.keras"
        model.save(aside)
        storage.write_bytes(location, aside.read_bytes())


def load_model(location: str) -> Any:
    """Load what `save_model` saved, with the Keras it was saved by; code inside the file is not run.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is no model file, or one with classes that are not imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "model.keras"
        aside.write_bytes(storage.read_bytes(location))
        return keras_that_saved(aside).models.load_model(aside, compile=False, safe_mode=True)


def weights_digest(model: Any) -> str:
    """Return the SHA-256 over all weights of a model, bit by bit."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
