"""TensorBoard's event files of a run that goes on: every step once."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from hvdcells import storage


def drop_later_events(folder: str, last_step: int) -> None:
    """Remove from all event files of a folder the steps after `last_step`, which will be taken again.

    A last event that was not written to its end is removed too.
    """
    for name in storage.names_in(folder):
        location = storage.join(folder, name)
        with tempfile.TemporaryDirectory() as aside:
            found, kept = Path(aside) / "found", Path(aside) / "kept"
            found.write_bytes(storage.read_bytes(location))
            with tf.io.TFRecordWriter(str(kept)) as writer:
                for record in _whole_records(found):
                    if tf.compat.v1.Event.FromString(record).step <= last_step:
                        writer.write(record)
            if kept.stat().st_size < found.stat().st_size:
                storage.write_bytes(location, kept.read_bytes())


def _whole_records(file: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.DataLossError:
        return
