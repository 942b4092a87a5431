"""The network's description, and what the methods rebuild from it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.methods.adapters.bigdl import first_weights, share_of_new_batch
from benchmarks.methods.adapters.elephas import trained_images
from benchmarks.methods.adapters.task import Task
from benchmarks.methods.catalogue import BY_NAME
from benchmarks.methods.environments import DEFAULT_FOLDER
from benchmarks.methods.preparing import experiment_of
from benchmarks.methods.running import ROOT
from hvdcells.experiment.learning_rate import learning_rate_at
from tests.small_dataset import write_small_dataset

SETTINGS = {"batch_per_worker": 4, "workers": 2, "epochs": 2, "learning_rate": 0.001, "seed": 1}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A task as all adapters are handed it, and its dataset."""
    from benchmarks.methods.preparing import prepare

    folder = tmp_path_factory.mktemp("task")
    rows = {"train": [[8], [8]], "validation": [[6, 5]], "test": [[7], [4]]}
    dataset = write_small_dataset(folder / "dataset", rows, image_size=16)
    prepare(folder / "task", {**SETTINGS, "dataset": dataset.location})
    return dataset, Task(str(folder / "task"))


@pytest.mark.tensorflow
def test_labels_images_and_sources_are_in_one_order(prepared):
    dataset, task = prepared
    for split, count in {"train": 16, "validation": 11, "test": 11}.items():
        images, labels = task.images(split), task.labels(split)
        assert [int(image[0, 0, 0]) for image in images] == list(range(count)), "the first byte is the row"
        assert labels.tolist() == [row % 2 for row in range(count)]
        assert task.sources(split) == [f"{split}/{row}.bmp" for row in range(count)]
        assert task.sources(split) == dataset.read_rows(split, ["source"])["source"].tolist()


@pytest.mark.slow  # TensorFlow is imported and two networks are built
def test_the_rebuilt_network_is_that_of_hvdcells(prepared):
    import tf_keras

    from benchmarks.methods.adapters import network
    from hvdcells.rank.models import build_model
    from hvdcells.scores.prediction_table import probabilities_of

    dataset, task = prepared
    rebuilt = network.build(tf_keras, task)
    channels = dataset.manifest.channel_mean, dataset.manifest.channel_std
    original = build_model(experiment_of(task).model, 16, *channels, task.seed)
    head = original.layers[-1].count_params()
    assert rebuilt.count_params() == original.count_params() - head // 2, "one logit instead of two"
    trainable = [sum(np.prod(v.shape) for v in model.trainable_weights) for model in (rebuilt, original)]
    assert trainable[0] == trainable[1] - head // 2
    for ours, theirs in zip(rebuilt.get_weights()[:-2], original.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = task.images("validation")
    one, two = (np.asarray(model(images.astype(np.float32), training=False)) for model in (rebuilt, original))
    np.testing.assert_allclose(one[:, 0], two[:, 1] - two[:, 0], rtol=1e-4, atol=1e-5)
    probabilities = network.probabilities(rebuilt, images, batch_size=4)
    np.testing.assert_allclose(probabilities, probabilities_of(two)[:, 1], rtol=1e-4)
    as_probabilities = network.build(tf_keras, task, gives_probabilities=True)
    np.testing.assert_allclose(network.probabilities(as_probabilities, images), probabilities, rtol=1e-5)


@pytest.mark.tensorflow
def test_bigdl_is_given_every_trained_weight_in_its_own_shape(prepared):
    _, task = prepared
    layers, weights = task.network(), task.weights()
    taken = first_weights(layers, weights)
    assert len(taken) == len(layers) - 1
    # The moving statistics of each normalisation are not set: they begin as in Keras.
    moving = sum(2 * layer["filters"] for layer in layers if layer["kind"] == "Conv2D")
    given_to_bigdl = sum(value.size for own in taken for value in own)
    assert given_to_bigdl == sum(value.size for value in weights) - moving
    for layer, own in zip(layers[1:], taken, strict=True):
        if layer["kind"] == "Conv2D":
            assert own[0].shape[:2] == (1, layer["filters"])
            assert own[0].shape[3:] == tuple(layer["kernel_size"])
        elif layer["kind"] == "Dense":
            assert own[0].shape[0] == own[1].shape[0] == layer["units"]
    first_kernel = weights[0]
    np.testing.assert_array_equal(taken[0][0][0, 5, 2], first_kernel[:, :, 2, 5])


@given(momentum=st.floats(0.5, 0.999), steps=st.integers(1, 2000))
def test_moving_statistics_of_bigdl_forget_where_each_call_began(momentum, steps):
    share = share_of_new_batch(momentum, steps)
    assert share >= 1 - momentum
    assert (1 - share) ** steps <= 0.001 * (1 + 1e-6)


@pytest.mark.tensorflow
def test_weights_that_no_layer_takes_are_an_error(prepared):
    _, task = prepared
    with pytest.raises(ValueError, match="1 weights are left over"):
        first_weights(task.network(), [*task.weights(), np.zeros(1)])


@pytest.mark.slow  # starts BigDL's JVM in its own environment
def test_bigdl_trains_as_many_parameters_and_begins_with_the_same_outputs(prepared):
    environment = BY_NAME["bigdl"].environment
    python = environment.folder(DEFAULT_FOLDER) / "bin" / "python"
    if not (python.parent.parent / ".finished").exists():
        pytest.skip("BigDL's environment is not built: `python -m benchmarks.methods --method bigdl` builds it")
    _, task = prepared
    code = (
        "import sys\n"
        "from benchmarks.methods.adapters import bigdl\n"
        "from benchmarks.methods.adapters.task import Task\n"
        "bigdl.start(1)\n"
        "task = Task(sys.argv[1])\n"
        "model = bigdl.build(task)\n"
        "print('PARAMETERS', bigdl.num_parameters(model))\n"
        "print('FIRST', *bigdl.probabilities(model, bigdl.normalised(task, 'test')))\n"
    )
    variables = {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    done = subprocess.run(
        [str(python), "-c", code, str(task.folder)],
        env={"HOME": str(task.folder), "PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert "PARAMETERS" in done.stdout, done.stderr[-2000:]
    first = [float(word) for word in done.stdout.rsplit("FIRST", 1)[1].split()[: len(task.labels("test"))]]
    import tf_keras

    from benchmarks.methods.adapters import network

    keras = network.probabilities(network.build(tf_keras, task), task.images("test"))
    np.testing.assert_allclose(first, keras, atol=1e-4)
    counted = int(done.stdout.rsplit("PARAMETERS", 1)[1].split()[0])
    assert counted == sum(value.size for own in first_weights(task.network(), task.weights()) for value in own)


@given(batch=st.integers(1, 64), workers=st.integers(1, 8), rate=st.floats(1e-5, 0.1), progress=st.floats(0, 20))
@settings(deadline=None)
def test_the_rate_of_hvdcells_is_the_one_of_all_methods(batch, workers, rate, progress):
    task = {"batch_per_worker": batch, "workers": workers, "learning_rate": rate, "epochs": 20, "seed": 0}
    experiment = experiment_of(SimpleNamespace(**task))
    assert learning_rate_at(experiment.optimizer, progress, 20, batch * workers) == pytest.approx(rate)
    assert not experiment.augmentation.flips
    assert not experiment.augmentation.quarter_turns
    assert experiment.training.class_weights == "none"


@given(st.lists(st.integers(0, 100), min_size=1), st.integers(1, 50))
def test_partitions_that_elephas_skips_are_not_counted(partitions, batch):
    larger = [size for size in partitions if size > batch]
    if not larger:
        with pytest.raises(ValueError, match="Elephas skips those no larger than a batch"):
            trained_images(partitions, batch)
    else:
        assert trained_images(partitions, batch) == sum(larger)


def test_adapters_import_nothing_heavy_of_the_project():
    """They run in environments that have neither hvdcells nor its packages: only numpy is there."""
    code = (
        "import sys, importlib, json\n"
        "for name in ('bigdl', 'elephas', 'keras_estimator', 'network', 'task'):\n"
        "    importlib.import_module('benchmarks.methods.adapters.' + name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"hvdcells", "tensorflow", "pyspark", "pandas", "pydantic", "psutil"} & set(json.loads(done.stdout))
