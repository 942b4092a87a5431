"""A run's model as one graph: from uint8 images to calibrated probabilities, and its files in other formats.

The model is built from the experiment and takes its weights from the run, as `rank.models.saved` does it: no graph is
made of a file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from hvdcells.experiment import Experiment
from hvdcells.images.decode import Pixels
from hvdcells.images.prepare import ImagePreparation
from hvdcells.inference.exported import EMBEDDING, INPUT, PROBABILITIES, ModelFormat
from hvdcells.inference.preparation_graph import prepared
from hvdcells.rank.models.averaged import load_models
from hvdcells.rank.models.either_keras import keras_of
from hvdcells.rank.prediction import Predictor, features_of
from hvdcells.runs.directory import RunDirectory
from hvdcells.scores.formulas import Floats
from hvdcells.scores.prediction_table import probabilities_of
from hvdcells.spark.backends.entry import standard_error_closed

OPSET = 17
"""Of ONNX: since 2022, so that runtimes on devices know it."""


class ExportGraph:
    """A run's model with all that is before and behind it.

    Args:
        run: a finished run, whose code is trusted.
        experiment: of the run. The graph is of float32, also where training was of mixed precision.
        preparation: of the run.
        temperature: that logits are divided by.
        num_views: of each image, whose probabilities are averaged.
    """

    def __init__(
        self,
        run: RunDirectory,
        experiment: Experiment,
        preparation: ImagePreparation,
        temperature: float,
        num_views: int = 1,
    ) -> None:
        tf_keras.mixed_precision.set_global_policy("float32")
        self._models = load_models(experiment.model, run)
        self._keras = keras_of(self._models[0])
        self._predictor = Predictor(*self._models, num_views=num_views)
        self._temperature = temperature
        self.preparation = preparation
        self._module = tf.Module()
        self._module.models = self._models
        features = features_of(self._models[0])
        self.embedding_size = None if features is None else int(features.shape[-1])
        """Length of what the last layer is given; None where the user's own function ends in logits."""
        self.num_parameters = sum(model.count_params() for model in self._models)
        self._graph = tf.function(
            self._compute, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, INPUT)], autograph=False
        )

    def probabilities(self, images: Pixels) -> Floats:
        """Return the calibrated probabilities (n, K) of prepared images by the Keras model itself."""
        return probabilities_of(np.asarray(self._predictor.forward(tf.constant(images))[0]) / self._temperature)

    def write(self, kind: ModelFormat, path: Path) -> None:
        """Write the model in a format, to a file or, of `savedmodel`, a folder."""
        writers = {
            "onnx": self._onnx,
            "tflite": self._tflite,
            "savedmodel": self._savedmodel,
            "keras": self._keras_file,
        }
        with standard_error_closed():  # converters tell much of themselves; what goes wrong, they raise
            writers[kind](path)

    def open(self, kind: ModelFormat, path: Path) -> Callable[[Pixels], NDArray[np.float32]]:
        """Return a file that was written as a function: from uint8 images to probabilities (n, K)."""
        if kind == "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            return lambda images: np.asarray(session.run([PROBABILITIES], {INPUT: images})[0])
        if kind == "tflite":
            interpreter = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
            return lambda images: np.asarray(interpreter(**{INPUT: images})[PROBABILITIES])
        if kind == "savedmodel":
            served = tf.saved_model.load(str(path)).signatures["serving_default"]
            return lambda images: served(**{INPUT: tf.constant(images)})[PROBABILITIES].numpy()
        calibrated = self._keras.models.load_model(path, compile=False)
        return lambda images: np.asarray(calibrated(tf.cast(images, tf.float32), training=False))

    def _compute(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._compute_prepared(prepared(images, self.preparation))

    def _compute_prepared(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, features = self._predictor.forward(images)
        named = {PROBABILITIES: tf.nn.softmax(logits / self._temperature)}
        if features is not None:
            named[EMBEDDING] = features
        return {name: tf.identity(output, name) for name, output in named.items()}

    def _onnx(self, path: Path) -> None:
        import tf2onnx

        frozen = convert_variables_to_constants_v2(self._graph.get_concrete_function(), lower_control_flow=False)
        outputs = dict(zip(sorted(self._graph.get_concrete_function().structured_outputs), frozen.outputs, strict=True))
        names = {frozen.inputs[0].name: INPUT, **{tensor.name: name for name, tensor in outputs.items()}}
        tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=[frozen.inputs[0].name],
            output_names=[tensor.name for tensor in frozen.outputs],
            opset=OPSET,
            tensors_to_rename=names,
            output_path=str(path),
        )

    def _tflite(self, path: Path) -> None:
        # Its converter has no way to tell the shape that two branches of sizes of their own come to.
        size = self.preparation.input_size
        taken = tf.TensorSpec([None, size, size, 3], tf.uint8, INPUT)
        graph = tf.function(self._compute_prepared, input_signature=[taken], autograph=False)
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [graph.get_concrete_function()], trackable_obj=self._module
        )
        path.write_bytes(converter.convert())

    def _savedmodel(self, path: Path) -> None:
        self._module.call = self._graph
        tf.saved_model.save(self._module, str(path), signatures={"serving_default": self._graph})

    def _keras_file(self, path: Path) -> None:
        # Layers that every Keras knows, and so no crop and no resize.
        [model] = self._models
        calibrated = self._keras.layers.Rescaling(1 / self._temperature, name="temperature")(model.output)
        probabilities = self._keras.layers.Softmax(name=PROBABILITIES)(calibrated)
        self._keras.Model(model.input, probabilities).save(path)


@contextmanager
def quantized(path: Path, images: Iterator[Pixels]) -> Iterator[Path]:
    """Yield an ONNX file whose convolutions compute with 8 bits, by the ranges that images have inside.

    Args:
        path: of the file of float32.
        images: prepared training images, batch by batch.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def get_next(self) -> dict[str, Pixels] | None:
            batch = next(images, None)
            return None if batch is None else {INPUT: batch}

    with TemporaryDirectory(prefix="hvdcells-") as folder:
        plain, small = Path(folder, "plain.onnx"), Path(folder, "small.onnx")
        quant_pre_process(str(path), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(small),
            Batches(),
            op_types_to_quantize=["Conv", "MaxPool", "Relu", "Clip", "Add", "Mul", "AveragePool"],
            per_channel=True,
            reduce_range=True,  # processors without VNNI add up 8-bit products in 16 bits, which overflow
            weight_type=QuantType.QInt8,
        )
        yield small
