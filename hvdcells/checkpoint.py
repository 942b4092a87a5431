"""The saved model: whole or not there, on disk or in S3."""

import hashlib
import tempfile
from pathlib import Path

import tf_keras

from hvdcells import storage


def save_model(model: tf_keras.Model, location: str) -> None:
    """Save a model in Keras' own format, aside and renamed."""
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "model.keras"
        model.save(aside)
        storage.write_bytes(location, aside.read_bytes())


def load_model(location: str) -> tf_keras.Model:
    """Load what `save_model` saved; code inside the file is not run."""
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "model.keras"
        aside.write_bytes(storage.read_bytes(location))
        return tf_keras.models.load_model(aside, compile=False, safe_mode=True)


def weights_digest(model: tf_keras.Model) -> str:
    """Return the SHA-256 over all weights of a model, bit by bit."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
