"""Which dataset an evaluation is made on, and what is said of one that the run was not trained on."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import hvdcells
from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.scores.evaluated_dataset import EvaluatedDataset, SharedImages
from hvdcells.scores.evaluation import Evaluation
from hvdcells.spark.backends import InProcess
from launch.cli import app
from launch.terminal.console import Console
from launch.terminal.evaluation_tables import print_evaluation
from tests.small_dataset import write_small_dataset

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
)
GROUPS = {"train": [[8, 8], [8]], "validation": [[8, 8]], "test": [[7, 6]]}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run and its dataset, only to be copied and read."""
    folder = tmp_path_factory.mktemp("original")
    dataset = write_small_dataset(folder / "dataset", GROUPS)
    return hvdcells.train(dataset, folder / "run", EXPERIMENT, backend=InProcess())


@pytest.fixture
def run(original, tmp_path):
    """A run whose dataset lies beside it, both to be changed."""
    place = Path(original.location).parent
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    copied = RunDirectory.at(tmp_path / "run")
    for location in (copied.run, copied.evaluation("validation")):
        storage.write_text(location, storage.read_text(location).replace(str(place), str(tmp_path)))
    return copied


def leaky_dataset(run, folder):
    """Write a dataset whose test split is a file of the training images that the run saw."""
    seen = Path(run.location).parent / "dataset/images/split=train/part-00000.parquet"
    trained_on = Dataset.open(Path(run.location).parent / "dataset").manifest.splits["train"].files[0]
    kept = folder.parent / "seen.parquet"
    shutil.copy(seen, kept)
    dataset = write_small_dataset(folder, {**GROUPS, "test": [[8, 8]]}, seed=1)
    kept.replace(folder / "images/split=test/part-00000.parquet")
    test = dataset.manifest.splits["test"]
    file = trained_on.model_copy(update={"path": test.files[0].path})
    return changed_manifest(
        dataset, splits={**dataset.manifest.splits, "test": test.model_copy(update={"files": (file,)})}
    )


@pytest.mark.tensorflow
def test_a_dataset_that_changed_at_its_place_is_refused_with_both_digests(run, tmp_path):
    noted = run.read_json(run.run)["dataset"]["digest"]
    changed = leaky_dataset(run, tmp_path / "dataset")
    for given in (None, changed, str(tmp_path / "dataset")):
        with pytest.raises(UserError) as refused:
            hvdcells.evaluate(run, given)
        for words in (noted[:12], dataset_digest(changed)[:12], "--other-dataset", "'test'"):
            assert words in str(refused.value)
    assert not storage.exists(run.evaluation("test"))


@pytest.mark.tensorflow
def test_what_another_dataset_shares_with_the_training_is_counted_and_said_and_nothing_overwritten(run, tmp_path):
    own = hvdcells.evaluate(run)
    before = {name: storage.read_bytes(name) for name in (run.evaluation("test"), run.predictions("test"))}
    changed = leaky_dataset(run, tmp_path / "dataset")

    shown = CliRunner().invoke(app, ["evaluate", run.location, "--other-dataset", "--json"], catch_exceptions=False)
    other = Evaluation.from_dict(json.loads(shown.stdout))
    assert other.dataset.digest == dataset_digest(changed) != own.dataset.digest
    # 16 images of 6 subjects: rows 0–15 of train, subjects train-0-0, train-1-1, …
    assert other.dataset.other.shared_with_train == SharedImages(images=16, subjects=6)
    assert other.dataset.other.shared_with_validation == SharedImages(images=0, subjects=0)

    assert {name: storage.read_bytes(name) for name in before} == before
    assert other.name == f"test-{other.dataset.digest[:12]}"
    kept = json.loads(Path(run.evaluation(other.name)).read_text())
    assert kept["dataset"]["digest"] == other.dataset.digest
    assert kept["dataset"]["other"]["trained_on_digest"] == own.dataset.digest
    assert kept["dataset"]["other"]["shared_with_train"] == {"images": 16, "subjects": 6}
    assert Evaluation.from_dict(kept).dataset == other.dataset
    assert len(pd.read_parquet(run.predictions(other.name))) == 16

    page = Path(run.report).read_text()
    assert f'id="test-{other.dataset.digest[:12]}"' in page
    assert "identical to images trained on: 16;" in page
    assert "names are those of subjects trained on: 6;" in page
    assert own.dataset.digest[:12] in page
    assert "no longer the one that was trained on" in page

    screen = StringIO()
    print_evaluation(other, Console(file=screen, width=200))
    assert "identical to images trained on: 16;" in screen.getvalue()
    screen = StringIO()
    print_evaluation(own, Console(file=screen, width=200))
    assert "trained on" not in screen.getvalue()


@pytest.mark.tensorflow
def test_a_copy_elsewhere_is_the_runs_own_dataset(run, tmp_path):
    shutil.move(tmp_path / "dataset", tmp_path / "channel")
    noted = run.read_json(run.run)["dataset"]
    evaluation = hvdcells.evaluate(run, tmp_path / "channel")
    assert evaluation.dataset == EvaluatedDataset(str(tmp_path / "channel"), noted["digest"])
    assert evaluation.name == "test"
    assert run.read_json(run.evaluation("test"))["dataset"]["other"] is None
    # The one trained on is gone, but the images shown are those of the copy.
    assert "Not shown" not in Path(run.report).read_text().partition('id="validation"')[0]


@pytest.mark.tensorflow
def test_another_place_says_that_another_dataset_is_meant(run, tmp_path):
    other = write_small_dataset(tmp_path / "other", {"test": [[4, 4]]}, image_size=32, seed=1)
    evaluation = hvdcells.evaluate(run, other)
    assert evaluation.dataset.other.shared_with_train == SharedImages(images=0, subjects=0)
    said = " ".join(evaluation.dataset.sentences())
    assert "side of 32 pixels, those trained on of 24" in said
    assert "flatters" not in said
    assert not storage.exists(run.evaluation("test"))
    assert "test split has not been evaluated" in Path(run.report).read_text()


def changed_manifest(dataset, **changes):
    manifest = dataset.manifest.model_copy(update=changes)
    Path(dataset.location, "manifest.json").write_text(manifest.to_json())
    return Dataset.open(dataset.location)


@pytest.mark.tensorflow
def test_other_classes_are_refused(run, tmp_path):
    other = write_small_dataset(tmp_path / "other", {"test": [[4, 4]]})
    swapped = changed_manifest(other, class_names=("all", "hem"))
    with pytest.raises(UserError, match=r"(?s)classes all, hem.*in that order: hem, all"):
        hvdcells.evaluate(run, swapped)


@pytest.mark.tensorflow
def test_whether_subjects_are_shared_is_unknown_where_a_dataset_names_none(run, tmp_path):
    other = changed_manifest(leaky_dataset(run, tmp_path / "other"), subjects_known=False)
    evaluation = hvdcells.evaluate(run, other)
    assert evaluation.dataset.other.shared_with_train == SharedImages(images=16, subjects=None)
    assert "Whether subjects are shared is not known" in " ".join(evaluation.dataset.sentences())
    # Intervals are there, over images, and say what they are worth.
    assert evaluation.subject_intervals == {}
    low, high = evaluation.intervals["log_loss"]  # which differs between resamples also where all is called right
    assert 0 <= low < high
    page = Path(run.report).read_text()
    assert "too narrow if images share subjects" in page
    screen = StringIO()
    print_evaluation(evaluation, Console(file=screen, width=200))
    assert "too narrow if images share subjects" in screen.getvalue()
    assert f"{low:.3f}–{high:.3f}" in screen.getvalue()


@pytest.mark.tensorflow
def test_a_run_that_kept_no_list_of_its_images_is_not_compared(run, tmp_path):
    storage.remove(run.training_images)
    other = write_small_dataset(tmp_path / "other", {"test": [[4, 4]]})
    with pytest.raises(UserError, match="earlier version"):
        hvdcells.evaluate(run, other)
    assert hvdcells.evaluate(run).name == "test"


@pytest.mark.tensorflow
def test_an_evaluation_of_an_earlier_version_is_said_to_be_one(run):
    kept = run.read_json(run.evaluation("validation"))
    write_json(run.evaluation("validation"), {**kept, "dataset": "somewhere"})
    hvdcells.write_report(run)
    page = Path(run.report).read_text()
    assert "evaluation of validation is of an earlier version" in page
    assert 'id="validation"' not in page


@pytest.mark.tensorflow
def test_fold_and_share_of_the_images_are_those_of_the_experiment(tmp_path):
    dataset = write_small_dataset(tmp_path / "dataset", {"train": [[8, 4], [6], [8], [4, 4]]}, num_folds=2)
    experiment = EXPERIMENT.override({"data.validation_fold": 1, "data.train_fraction": 0.5})
    run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    kept = pd.read_parquet(run.training_images)
    noted = run.read_json(run.run)["dataset"]
    assert kept["split"].value_counts().to_dict() == {"train": 10, "validation": 14}
    assert (noted["images"]["train"], noted["images"]["validation"]) == (10, 14)
    assert set(kept.loc[kept["split"] == "validation", "subject"].str[:5]) == {"fold1"}
    # As given without a fold by a launch script, and as the run finds it itself.
    for given in (dataset.location, None):
        evaluation = hvdcells.evaluate(run, given, split="validation")
        assert evaluation.dataset == EvaluatedDataset(dataset.location, noted["digest"], 1)
        assert evaluation.by_image["images"] == 14
    with pytest.raises(UserError, match=r"seen by its fold 0"):
        hvdcells.evaluate(run, Dataset.open(dataset.location, 0), split="validation")
