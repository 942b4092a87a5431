"""The report of a real small run: what the file holds, and what a browser makes of it."""

import base64
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

import hvdcells
from hvdcells import storage
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.explanations import read_explanations
from hvdcells.runs.predictions import read_predictions
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

BROWSER = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
EXPERIMENT = {"training.epochs": 2, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
GROUPS = {"train": [[8, 8], [8]], "validation": [[8, 8]], "test": [[7, 6]]}


class Page(HTMLParser):
    """The pictures, links and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.pictures, self.addresses, self.ids, self.words = [], [], set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.pictures.append(attributes)
        self.addresses += [attributes[name] for name in ("src", "href", "srcset", "data") if name in attributes]
        self.ids.add(attributes.get("id"))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page_of(run):
    return Page(Path(run.report).read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    dataset = write_small_dataset(folder / "dataset", GROUPS)
    experiment = hvdcells.recipes.small_cnn().override(EXPERIMENT)
    return hvdcells.train(dataset, folder / "run", experiment, backend=InProcess())


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained.location, folder)
    run = RunDirectory.at(folder)
    hvdcells.evaluate(run)
    return run


@pytest.mark.tensorflow
def test_training_leaves_a_report_of_its_validation_and_says_that_test_is_missing(trained):
    page = page_of(trained)
    assert {"validation", "training", "experiment", "dataset", "environment"} <= page.ids
    assert "test" not in page.ids
    assert "test split has not been evaluated" in page.text
    scores = trained.read_json(trained.evaluation("validation"))["by_image"]
    best = trained.read_metrics()[trained.read_json(trained.finished)["best_epoch"] - 1]
    assert scores["confusion_matrix"] == best["validation"]["confusion_matrix"]
    assert scores["weighted_f1"] == best["validation"]["weighted_f1"]
    assert f"weighted F1 by image {scores['weighted_f1']:.3f}" in page.text


@pytest.mark.tensorflow
def test_after_evaluation_test_comes_first(evaluated):
    html = Path(evaluated.report).read_text()
    assert html.index('id="test"') < html.index('id="validation"') < html.index('id="training"')
    assert "has not been evaluated" not in html
    scores = evaluated.read_json(evaluated.evaluation("test"))
    assert "Test: 13 images of 6 subjects" in page_of(evaluated).text
    assert f"weighted F1 by image {scores['by_image']['weighted_f1']:.3f}" in page_of(evaluated).text


@pytest.mark.tensorflow
def test_what_the_model_looks_at_is_shown_of_evaluations_and_may_be_left_out(evaluated, tmp_path):
    page, kept = page_of(evaluated), read_explanations(evaluated, "test")
    assert kept.layer == "relu4"
    assert [image.kind for image in kept.images] == ["worst"] * 4 + ["surest"] * 2 + ["worst"] * 4 + ["surest"] * 3
    assert page.text.count("What the model looks at") == 1
    assert len([each for each in page.pictures if each["src"].startswith("data:image/jpeg")]) == len(kept.images) == 13
    assert sum("occlusion" in image.panels for image in kept.images) == 4
    predictions = read_predictions(evaluated, "test").set_index("image_id")
    for image in kept.images:
        row = predictions.loc[image.image_id]
        assert image.probability == row["probability_all" if image.label else "probability_hem"]
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(image.strip), np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (96, 96 * len(image.panels) + 3 * (len(image.panels) - 1), 3)

    shutil.copytree(evaluated.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    before = read_predictions(run, "test")
    storage.remove(run.path("explanations"))
    hvdcells.evaluate(run, explain=False)
    assert read_predictions(run, "test").equals(before), "explaining changes no prediction"
    assert "What the model looks at" not in page_of(run).text


@pytest.mark.tensorflow
@pytest.mark.parametrize("num_classes", [2, 20, 60])
def test_as_many_images_are_explained_as_a_page_bears(num_classes):
    from hvdcells.rank.explain import explained_rows

    rng = np.random.default_rng(0)
    labels = np.arange(40 * num_classes) % num_classes
    probabilities = rng.dirichlet(np.ones(num_classes), len(labels))
    chosen = explained_rows(labels, probabilities)
    rows = [row for row, _ in chosen]
    assert len(rows) == len(set(rows)) == {2: 16, 20: 40, 60: 48}[num_classes]
    own = probabilities[np.arange(len(labels)), labels]
    first, last = (own[labels == num_classes - 1].min(), own[labels == num_classes - 1].max())
    assert own[rows[0]] == first
    assert last in own[rows[:8]]


@pytest.mark.tensorflow
def test_the_page_needs_nothing_beside_it_and_every_picture_has_words(evaluated):
    page = page_of(evaluated)
    for address in page.addresses:
        assert address.startswith(("data:", "#")), address
    assert not re.search(r"@import|url\((?!['\"]?data:)", Path(evaluated.report).read_text())
    assert len(page.pictures) > 16
    assert all(picture["alt"].strip() for picture in page.pictures)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= page.ids


@pytest.mark.tensorflow
def test_what_a_run_was_made_of_is_in_it(evaluated):
    text = page_of(evaluated).text
    for fact in ("optimizer.learning_rate", "versions.tensorflow", "channel mean", "24 12 12 6"):
        assert fact in text, fact


@pytest.mark.tensorflow
def test_an_unfinished_run_is_reported_as_far_as_it_got(trained, tmp_path):
    shutil.copytree(trained.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    for location in (run.finished, run.report, run.evaluation("validation")):
        storage.remove(location)
    hvdcells.write_report(run)
    assert "has not finished: 2 epochs are done" in page_of(run).text
    assert "validation" in page_of(run).ids
    for location in (run.metrics, run.predictions("validation")):
        storage.remove(location)
    hvdcells.write_report(run)
    assert "No epoch is done" in page_of(run).text


@pytest.mark.tensorflow
def test_what_the_machines_have_cost_stands_beside_the_scores(trained, tmp_path):
    shutil.copytree(trained.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    hvdcells.write_report(run)
    assert "USD" not in page_of(run).text
    costs = {"usd_least": 1.25, "usd": 3.5, "as_of": "2026-11", "missing": ["EMR's surcharge of g6.xlarge"]}
    write_json(run.cost, costs)
    hvdcells.write_report(run)
    text = " ".join(page_of(run).text.split())
    assert "Its machines cost more than 1.25 to 3.50 USD, by prices of 2026-11" in text
    assert "and without EMR's surcharge of g6.xlarge." in text


@pytest.mark.tensorflow
def test_a_dataset_that_is_gone_is_said(evaluated, tmp_path):
    shutil.copytree(evaluated.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    gone = str(tmp_path / "gone")
    for location in (run.run, *map(run.evaluation, ("test", "validation"))):
        original = evaluated.read_json(evaluated.run)["dataset"]["location"]
        storage.write_text(location, storage.read_text(location).replace(original, gone))
    hvdcells.write_report(run)
    text = page_of(run).text
    assert "dataset cannot be opened" in text
    assert "Not shown: the dataset cannot be opened" in text


@pytest.mark.tensorflow
def test_scores_of_one_class_are_shown_as_not_defined(tmp_path):
    dataset = write_small_dataset(tmp_path / "dataset", {**GROUPS, "test": [[1]]})
    experiment = hvdcells.recipes.small_cnn().override({**EXPERIMENT, "training.epochs": 1})
    run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    assert hvdcells.evaluate(run).by_image["auroc"] is None
    text = page_of(run).text
    assert "AUROC by image not defined" in text
    assert "Not defined for these images (no ROC curve: one class only)" in text


@pytest.mark.tensorflow
def test_a_dataset_without_known_subjects_is_said_to_be_one(trained, tmp_path):
    shutil.copytree(trained.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    kept = {**run.read_json(run.evaluation("validation")), "subjects_known": False, "by_subject": None}
    kept |= {name: [{}, {}] if name.endswith("class") else {} for name in kept if name.startswith("intervals")}
    write_json(run.evaluation("validation"), kept)
    hvdcells.write_report(run)
    text = page_of(run).text
    assert "The dataset names no subjects" in text
    assert "Subject by subject" not in text
    assert "no interval" in text


@pytest.mark.tensorflow
def test_the_driver_writes_a_report_without_tensorflow(trained):
    code = f"import sys, hvdcells; hvdcells.write_report({trained.location!r}); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.tensorflow
def test_names_from_outside_are_text_and_not_markup(trained, tmp_path):
    shutil.copytree(trained.location, tmp_path / "run")
    run = RunDirectory.at(tmp_path / "run")
    original = storage.read_text(run.experiment)
    storage.write_text(run.experiment, original.replace('"small_cnn"', '"<script>alert(1)</script>"', 1))
    hvdcells.write_report(run)
    assert "<script" not in Path(run.report).read_text()
    assert "<script>alert(1)</script>" in page_of(run).text


@pytest.mark.tensorflow
def test_a_report_that_fails_does_not_take_the_training_with_it(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("hvdcells.report.page.render", fail)
    dataset = write_small_dataset(tmp_path / "dataset", GROUPS)
    experiment = hvdcells.recipes.small_cnn().override({**EXPERIMENT, "training.epochs": 1})
    with pytest.warns(UserWarning, match="disk full.*hvdcells report"):
        run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    assert run.read_json(run.finished)["epochs"] == 1


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
def test_a_browser_shows_every_figure_and_has_nothing_to_complain_of(evaluated, tmp_path):
    # A script in a copy of the page writes down what the browser made of each picture.
    probe = """<script>addEventListener("load", () => { document.title = JSON.stringify({
        pictures: [...document.images].map(one => [one.naturalWidth, one.naturalHeight, one.complete, one.offsetWidth]),
        overhang: document.documentElement.scrollWidth - document.documentElement.clientWidth}); });</script></body>"""
    page = tmp_path / "report.html"
    html = Path(evaluated.report).read_text().replace(' loading="lazy"', "")
    assert "default-src 'none'; img-src data:" in html, "the page lets nothing in"
    html = html.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")  # but this script
    page.write_text(html.replace("</body>", probe))
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--window-size=390,844",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints
    (title,) = re.findall(r"<title>({.*?})</title>", done.stdout)
    seen = json.loads(title)
    assert seen["overhang"] == 0, "the page is wider than the screen of a phone"
    assert len(seen["pictures"]) == len(page_of(evaluated).pictures)
    for natural_width, natural_height, complete, shown_width in seen["pictures"]:
        assert complete
        assert min(natural_width, natural_height, shown_width) > 0
