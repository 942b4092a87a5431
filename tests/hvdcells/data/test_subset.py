"""A share of the training images: what is drawn, what is read of it, and what a run tells of it."""

import itertools

import numpy as np
import pytest

import hvdcells
from hvdcells.data.subset import choose_share, open_for_training
from hvdcells.errors import UserError
from hvdcells.rank.input.reader import open_reader
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8, 1], [6]], "validation": [[8, 8]], "test": [[8]]}
EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.batch_size": 4, "model.width": 0.2, "data.train_fraction": 0.4}
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), GROUPS)


def people(num_subjects, num_images):
    """Return labels and subjects; the subjects have 1, 2, … times as many images as the first one."""
    subjects = np.repeat(np.arange(num_subjects), num_images * (1 + np.arange(num_subjects)))
    return subjects % 2, subjects.astype(str)


def test_each_class_and_each_subject_gives_its_share():
    labels, subjects = people(6, 20)
    chosen = choose_share(labels, subjects, 0.1, seed=3)
    for label in (0, 1):
        assert chosen[labels == label].sum() == round(0.1 * (labels == label).sum())
    for subject in np.unique(subjects):
        assert abs(chosen[subjects == subject].sum() - 0.1 * (subjects == subject).sum()) <= 1


def test_with_one_seed_a_larger_share_holds_a_smaller_one_and_another_seed_draws_another():
    labels, subjects = people(5, 9)
    shares = [choose_share(labels, subjects, fraction, seed=1) for fraction in (0.05, 0.1, 0.5, 1.0)]
    assert all(np.all(larger[smaller]) for smaller, larger in itertools.pairwise(shares))
    assert shares[-1].all()
    assert np.array_equal(shares[1], choose_share(labels, subjects, 0.1, seed=1))
    assert not np.array_equal(shares[1], choose_share(labels, subjects, 0.1, seed=2))


def test_the_smallest_share_has_an_image_of_each_class():
    labels, subjects = people(4, 3)
    assert set(labels[choose_share(labels, subjects, 1e-6, seed=0)]) == {0, 1}


def test_just_the_images_drawn_are_read(dataset):
    view = open_for_training(dataset.location, EXPERIMENT)
    rows = view.read_rows("train", ["source", "label"])
    assert len(rows) == view.split("train").images == sum(view.rows_per_row_group("train")) == 9
    expected = [int(source.split("/")[1].split(".")[0]) for source in rows["source"]]
    order = range(len(view.rows_per_row_group("train")))
    with open_reader(view, "train", order, input_size=24, num_threads=2) as row_groups:
        read = list(row_groups)
    assert [int(image[0, 0, 0]) for group in read for image in group.image] == expected
    assert np.concatenate([group.label for group in read]).tolist() == rows["label"].tolist()
    assert np.concatenate([group.row for group in read]).tolist() == list(range(9))
    assert view.rows_per_row_group("validation") == dataset.rows_per_row_group("validation")


def test_counts_are_those_of_the_share(dataset):
    view = open_for_training(dataset.location, EXPERIMENT)
    rows, summary = view.read_rows("train", ["class_name", "subject"]), view.split("train")
    assert summary.images_per_class == rows["class_name"].value_counts().to_dict()
    assert summary.images_per_subject == rows["subject"].value_counts().to_dict()
    assert summary.class_per_subject.keys() == summary.images_per_subject.keys()


@pytest.mark.tensorflow
def test_a_run_on_a_share_says_so(dataset, tmp_path, capsys):
    run = hvdcells.train(dataset, tmp_path / "run", EXPERIMENT, backend=InProcess())
    assert "9 of 23 training images (39.1%)" in capsys.readouterr().out
    assert run.read_json(run.run)["dataset"]["images"]["train"] == 9
    assert "Trained on 9 of the 23 training images" in (tmp_path / "run/report.html").read_text()
    assert hvdcells.train(dataset, run.location, resume=True) == run


def test_a_share_too_small_for_the_workers_is_refused(dataset, tmp_path):
    experiment = EXPERIMENT.override({"data.train_fraction": 0.01})
    with pytest.raises(UserError, match="3 workers for a split of 2 row groups"):
        hvdcells.train(dataset, tmp_path / "run", experiment, workers=3)
    assert not (tmp_path / "run").exists()
