"""`predict` with a real model: the bits of `evaluate`, in one process, on Spark, and after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import hvdcells
from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.driver import predict as driver
from hvdcells.driver.decide import judge
from hvdcells.errors import UserError
from hvdcells.runs.decision import read_decision
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.image_range import read_range
from hvdcells.runs.predictions import read_predictions
from hvdcells.spark.backends import InProcess
from hvdcells.storage import names_in, parquet
from launch.cli import app
from tests.etl.cells import RecordingListener, cell, write_cnmc, write_image
from tests.suite.leftovers import variables_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.spark]

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
)
LOGITS = ["logit_hem", "logit_all"]


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    """Cells of other sizes than the dataset's, a run trained on them that stores 32 pixels and takes 24, evaluated."""
    folder = tmp_path_factory.mktemp("predict")
    write_cnmc(folder / "cells")
    run_etl(spark, folder / "cells", folder / "dataset", EtlOptions(layout="cnmc", image_size=32, crop=40))
    run = hvdcells.train(folder / "dataset", folder / "run", EXPERIMENT, backend=InProcess())
    hvdcells.evaluate(run)
    hvdcells.evaluate(run, tta=8)
    shutil.rmtree(folder / "dataset")  # the run knows by itself
    return folder, run


def by_path(predictions, name="path"):
    return predictions.set_index(name).sort_index()


def test_a_file_has_the_bits_of_etl_and_evaluate_here_on_spark_and_in_a_dataframe(made, spark, tmp_path):
    folder, run = made
    evaluated = by_path(read_predictions(run, "test"), "source")
    here = hvdcells.predict(run, folder / "cells", tmp_path / "here")
    there = hvdcells.predict(run, folder / "cells", tmp_path / "spark", use_spark=True)
    assert here["listed"] == here["predicted"] == there["predicted"] == 64
    predicted = by_path(parquet.read_rows(f"{tmp_path}/here/predictions.parquet"))
    of_test = predicted.loc[evaluated.index]
    assert len(of_test) == 16
    assert of_test["probability_all"].nunique() > 8
    probabilities = ["probability_hem", "probability_all"]
    np.testing.assert_array_equal(of_test[[*LOGITS, *probabilities]], evaluated[[*LOGITS, *probabilities]])
    assert of_test["subject"].tolist() == evaluated["subject"].tolist()
    for name in ("predictions", "subjects", "rejects/rejects"):
        files = [Path(tmp_path, place, f"{name}.parquet").read_bytes() for place in ("here", "spark")]
        assert files[0] == files[1]

    classifier = hvdcells.Classifier.load(run)
    paths = [str(folder / "cells" / path) for path in of_test.index]
    np.testing.assert_array_equal(classifier.predict(paths)[LOGITS], of_test[LOGITS])

    images = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", "*.bmp")
    content = images.load(str(folder / "cells")).select("path", "content")
    frames = {"content": content, "path": content.select("path")}
    for name, frame in frames.items():
        rows = classifier.transform(frame).drop("content").toPandas()
        rows["path"] = rows["path"].str.rpartition("/cells/")[2]
        np.testing.assert_array_equal(by_path(rows).loc[predicted.index, LOGITS], predicted[LOGITS], err_msg=name)


def test_the_transformer_stands_in_a_pipeline_and_is_saved_with_it(made, spark, tmp_path):
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.feature import SQLTransformer

    folder, run = made
    is_ill = SQLTransformer(statement="SELECT path, called = 'all' AS ill, reason FROM __THIS__")
    paths = [str(next(folder.rglob("*.bmp"))), f"{folder}/none.bmp", None]
    frame = spark.createDataFrame([(path,) for path in paths], "path string")
    fitted = Pipeline(stages=[hvdcells.Classifier.load(run).transformer(), is_ill]).fit(frame)
    fitted.write().overwrite().save(str(tmp_path / "pipeline"))
    rows = PipelineModel.load(str(tmp_path / "pipeline")).transform(frame).collect()
    assert [row.reason for row in rows][:2] == ["", "file not found"]
    assert rows[2].reason
    assert rows == fitted.transform(frame).collect()
    with pytest.raises(UserError, match="one of content and path"):
        fitted.stages[0].transform(frame.withColumnRenamed("path", "place"))
    with pytest.raises(UserError, match="called"):
        fitted.stages[0].transform(frame.selectExpr("path", "path AS called"))


KILLED = """
import os, signal, sys
import hvdcells
from hvdcells.spark.listener import Listener

class Killer(Listener):
    def advance(self, done, rejected):
        if done > 1100:
            os.kill(os.getpid(), signal.SIGKILL)

hvdcells.predict(*sys.argv[1:], listener=Killer())
"""


def test_one_that_was_killed_is_gone_on_with_and_every_image_is_predicted_once(made, tmp_path):
    _, run = made
    (tmp_path / "images").mkdir()
    for number in range(1400):
        (tmp_path / f"images/{number}.png").write_bytes(cv2.imencode(".png", cell(number, 16))[1].tobytes())
    (tmp_path / "images/700.png").write_bytes(b"no image")
    arguments = [str(run.location), str(tmp_path / "images"), str(tmp_path / "out")]
    environment = {**os.environ, **variables_of(tmp_path)}  # what is killed leaves its temporary files
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    parts = names_in(tmp_path / "out/work/parts")
    assert parts == ["part-000000.parquet", "part-000001.parquet"]

    told = RecordingListener()
    found = hvdcells.predict(*arguments, listener=told)
    assert told.stages == [("predicting", 1400 - 2 * 512)]
    assert (found["listed"], found["predicted"], sum(found["rejected"].values())) == (1400, 1399, 1)
    whole = hvdcells.predict(run, tmp_path / "images", tmp_path / "whole")
    for name in ("predictions", "rejects/rejects"):
        files = [Path(tmp_path, place, f"{name}.parquet").read_bytes() for place in ("out", "whole")]
        assert files[0] == files[1]
    assert whole["called"] == found["called"]
    assert names_in(tmp_path / "out") == ["finished.json", "prediction.json", "predictions.parquet", "rejects"]

    assert hvdcells.predict(*arguments, listener=told) == found
    assert "nothing left" in told.said[-1]


def test_a_prediction_of_something_else_is_refused_and_may_be_overwritten(made, tmp_path):
    folder, run = made
    shutil.copytree(folder / "cells" / "training_data" / "fold_0", tmp_path / "cells")
    first = hvdcells.predict(run, tmp_path / "cells", tmp_path / "out")
    before = Path(tmp_path, "out/predictions.parquet").read_bytes()
    write_image(tmp_path / "cells/more.bmp", cell(1))
    with pytest.raises(UserError, match="other images or subjects"):
        hvdcells.predict(run, tmp_path / "cells", tmp_path / "out")
    assert Path(tmp_path, "out/predictions.parquet").read_bytes() == before
    assert not Path(tmp_path, "out/work").exists()
    assert hvdcells.predict(run, tmp_path / "cells", tmp_path / "out", overwrite=True)["listed"] == first["listed"] + 1

    (tmp_path / "used").mkdir()
    (tmp_path / "used/thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="other files"):
            hvdcells.predict(run, tmp_path / "cells", tmp_path / "used", overwrite=overwrite)
    assert names_in(tmp_path / "used") == ["thesis.txt"]
    with pytest.raises(UserError, match="one within the other"):
        hvdcells.predict(run, tmp_path / "cells", tmp_path / "cells/out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        hvdcells.predict(run, tmp_path / "empty", tmp_path / "of-none")
    assert not (tmp_path / "of-none").exists()


def test_the_command_makes_a_submission_and_tells_rejects_with_exit_codes(made, tmp_path):
    _, run = made
    (tmp_path / "final").mkdir()
    kinds = [cv2.imencode(".bmp", cell(number, 12))[1].tobytes() for number in range(5)]
    for number in range(1, 1868):
        (tmp_path / f"final/{number}.bmp").write_bytes(kinds[number % 5])
    given = ["predict", run.location, str(tmp_path / "final"), str(tmp_path / "out"), "--challenge", "--csv"]
    shown = CliRunner().invoke(app, given, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "1867 images: 1867 predicted" in shown.stdout
    with zipfile.ZipFile(tmp_path / "out/isbi_valid.zip") as archive:
        lines = archive.read("isbi_valid.predict").decode().split()
    calls = by_path(parquet.read_rows(f"{tmp_path}/out/predictions.parquet"))["decision"]
    assert lines == [str(int(calls[f"{number}.bmp"] == "all")) for number in range(1, 1868)]

    (tmp_path / "final/5.bmp").write_bytes(kinds[0][:100])
    with pytest.raises(UserError, match=r"no prediction of 5\.bmp"):
        hvdcells.predict(run, tmp_path / "final", tmp_path / "gap", challenge=True)
    assert not (tmp_path / "gap/isbi_valid.zip").exists()
    assert json.loads((tmp_path / "gap/finished.json").read_text())["rejected"] == {
        f"truncated BMP: 100 bytes of {len(kinds[0])}": 1
    }


def test_eight_views_are_those_of_evaluate(made, tmp_path):
    folder, run = made
    evaluated, once = (by_path(read_predictions(run, name), "source") for name in ("test-tta8", "test"))
    hvdcells.predict(run, folder / "cells", tmp_path / "out", tta=8)
    predicted = by_path(parquet.read_rows(f"{tmp_path}/out/predictions.parquet")).loc[evaluated.index]
    np.testing.assert_allclose(predicted[LOGITS], evaluated[LOGITS], atol=1e-5)
    assert (evaluated["probability_all"] != once["probability_all"]).all()
    with pytest.raises(UserError, match="other views of each image"):
        hvdcells.predict(run, folder / "cells", tmp_path / "out")


def test_images_unlike_those_validated_on_are_told_and_the_least_sure_explained(made, tmp_path):
    folder, run = made
    known = read_range(run)
    assert known.images == len(read_predictions(run, "validation"))
    assert known.features.means.shape == (2, 26)  # filters of the last block
    shutil.copytree(folder / "cells" / "training_data" / "fold_0", tmp_path / "cells")
    for number, color in enumerate(((0, 255, 0), (255, 0, 0), (255, 255, 255))):
        write_image(tmp_path / f"cells/odd-{number}.bmp", np.full((40, 40, 3), color, np.uint8))
    plain = hvdcells.predict(run, tmp_path / "cells", tmp_path / "plain")
    found = hvdcells.predict(run, tmp_path / "cells", tmp_path / "out", explain=3)
    rows = by_path(parquet.read_rows(f"{tmp_path}/out/predictions.parquet"))
    odd = rows.index.str.startswith("odd")
    assert rows["out_of_range"][odd].all()
    assert rows["out_of_range"][~odd].mean() < 0.3
    assert found["out_of_range"] == plain["out_of_range"] == rows["out_of_range"].sum()
    files = [Path(tmp_path, place, "predictions.parquet").read_bytes() for place in ("out", "plain")]
    assert files[0] == files[1], "explaining changes no prediction"
    told = json.loads((tmp_path / "out/explanations/index.json").read_text())
    assert told["grad_cam_reads"] == "relu4"
    sure = rows[["calibrated_hem", "calibrated_all"]].max(axis=1).nsmallest(3).tolist()
    assert [each["calibrated"] for each in told["pictures"]] == sure
    for each in told["pictures"]:
        assert each["panels"] == ["image", "Grad-CAM", "occlusion"]
        assert cv2.imread(str(tmp_path / "out/explanations" / each["file"])).shape == (224, 3 * 224 + 6, 3)
    other = RunDirectory.at(shutil.copytree(run.location, tmp_path / "run"))
    Path(other.range).unlink()
    assert hvdcells.predict(other, tmp_path / "cells", tmp_path / "unknown")["out_of_range"] is None


def test_spark_is_started_for_many_images_alone(monkeypatch):
    monkeypatch.delenv("SPARK_ENV_LOADED", raising=False)
    few, many, told = driver.FEWEST_FOR_SPARK - 1, driver.FEWEST_FOR_SPARK, RecordingListener()
    chosen = [driver.chooses_spark(None, master, num, told) for master in (None, "yarn") for num in (few, many)]
    assert chosen == [False, False, False, True]
    assert len(told.said) == 1
    assert driver.chooses_spark(True, None, 1, told)
    assert not driver.chooses_spark(False, "yarn", many, told)
    monkeypatch.setenv("SPARK_ENV_LOADED", "1")
    assert driver.chooses_spark(None, None, many, told)


def test_a_run_has_a_decision_that_predictions_evaluation_and_report_use(made, tmp_path):
    folder, own = made
    run = RunDirectory.at(tmp_path / "run")
    shutil.copytree(own.location, run.location)
    left, _ = read_decision(run)
    assert left.chosen == "0.5"
    assert left.positive_classes == ("all",)
    validation = read_predictions(run, "validation")
    before = hvdcells.predict(run, folder / "cells", tmp_path / "before")

    given = ["decide", run.location, "--at-sensitivity", "1", "--refer", "0.25", "--subject-rule", "top", "--json"]
    shown = json.loads(CliRunner().invoke(app, given, catch_exceptions=False).stdout)
    decision, refer_share = read_decision(run)
    assert shown["decision"]["chosen"] == decision.chosen == "sensitivity-1"
    assert refer_share == 0.25
    of_validation = shown["judged"]["validation"]["thresholds"]["sensitivity-1"]
    assert of_validation["sensitivity"] == 1
    assert of_validation["referred"] == pytest.approx(0.25, abs=1 / len(validation))
    with pytest.raises(UserError, match="another decision of the run"):
        hvdcells.predict(run, folder / "cells", tmp_path / "before")

    hvdcells.predict(run, folder / "cells", tmp_path / "out")
    rows = by_path(parquet.read_rows(f"{tmp_path}/out/predictions.parquet"))
    ill = decision.ill(decision.probabilities(rows[LOGITS].to_numpy()))
    np.testing.assert_array_equal(rows["calibrated_all"], ill)
    assert rows["decision"].tolist() == ["all" if value >= decision.threshold else "hem" for value in ill]
    assert rows["refer"].tolist() == decision.refers(ill).tolist()
    ill_of_validation = rows.loc[validation.loc[validation["label"] == 1, "source"]]
    assert set(ill_of_validation["decision"]) == {"all"}
    assert before["listed"] == len(rows)
    subjects = parquet.read_rows(f"{tmp_path}/out/subjects.parquet").set_index("subject")
    assert subjects["value"].to_dict() == decision.subject_values(rows["subject"].tolist(), ill).to_dict()

    judged, chosen = judge(run)
    assert chosen == "sensitivity-1"
    page = Path(run.report).read_text()
    assert page.count("<h3>Decision</h3>") == 3  # validation, test, test with eight views
    assert "sensitivity-1 (in use)" in page
    assert f"{judged['thresholds']['sensitivity-1']['weighted_f1']:.3f}" in page
    told = CliRunner().invoke(app, given[:-1], catch_exceptions=False).stdout
    assert "sensitivity-1 *" in told
    assert "chosen on validation images" in told
    with pytest.raises(UserError, match="no predictions of train"):
        judge(run, "train")
    Path(run.decision).unlink()
    with pytest.raises(UserError, match="hvdcells decide RUN"):
        hvdcells.predict(run, folder / "cells", tmp_path / "none")
