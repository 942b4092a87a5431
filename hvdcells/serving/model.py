"""An export in memory: the ONNX file in its runtime, and what its `model.json` says of it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.decode import Pixels
from hvdcells.inference.exported import EMBEDDING, INPUT, PROBABILITIES, REMEDY, ExportedModel, read_exported
from hvdcells.scores.formulas import Floats
from hvdcells.scores.image_range import ImageRange
from hvdcells.serving.unlike import known_range


class Outputs(NamedTuple):
    """What the model says of some images."""

    probabilities: Floats
    """Calibrated, float64 (n, K)."""
    embeddings: NDArray[np.float32] | None
    """(n, E); None where the export has none."""


@dataclass(frozen=True)
class ServedModel:
    """A model that is served. Make one with `ServedModel.load`."""

    described: ExportedModel
    session: Any
    """Of ONNX Runtime."""
    range: ImageRange | None
    """Of the images it was validated on; None where the export does not know it."""

    @classmethod
    def load(cls, export: storage.Location, threads: int = 1) -> Self:
        """Load an export.

        Args:
            export: folder that `hvdcells export --to onnx` has written.
            threads: of the runtime within one call; with a pool of workers each computes on its own core.

        Raises:
            UserError: no export is there, or its files do not belong together, or the runtime takes no such model.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UserError(
                "ONNX Runtime is not installed", "what serves models", "pip install 'hvdcells[serve]'"
            ) from None
        described = read_exported(export)
        location = storage.join(storage.absolute(export), described.file)
        if described.format != "onnx":
            raise UserError(
                f"{export} is a model for {described.format}", "one for ONNX", "hvdcells export RUN OUT --to onnx"
            )
        content = storage.read_bytes(location)
        if hashlib.sha256(content).hexdigest() != described.digests.file:
            raise UserError(f"{location} is not the file that model.json describes", "the one of its digest", REMEDY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # its errors come as exceptions
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise UserError(f"{location}: {error}", "a model that ONNX Runtime takes", REMEDY) from error
        return cls(described, session, known_range(described.range))

    @cached_property
    def _outputs(self) -> list[str]:
        found = [each.name for each in self.session.get_outputs()]
        # The embedding is computed for the range alone.
        return [PROBABILITIES, *([EMBEDDING] if self.range is not None and EMBEDDING in found else [])]

    def __call__(self, images: Pixels) -> Outputs:
        """Return what the model says of prepared images, RGB uint8 (n, input size, input size, 3)."""
        found = self.session.run(self._outputs, {INPUT: images})
        return Outputs(np.asarray(found[0], np.float64), found[1] if len(found) > 1 else None)
