"""What a client is told of good images."""

import base64
import csv
import io
import json
import re

import cv2
import numpy as np
import pytest

from hvdcells.images.prepare import ImagePreparation
from hvdcells.serving.model import ServedModel
from tests.hvdcells.serving.conftest import form, png
from tests.tiny_export import SIDE, write_tiny_export

RED, BLUE, BETWEEN = (200, 30, 30), (30, 30, 200), (120, 100, 118)


def test_sagemaker_may_ask_whether_it_lives(server):
    assert server.ask("/ping")[0] == 200


def test_an_image_is_prepared_and_predicted_as_the_model_alone_does_it(server, export):
    rng = np.random.default_rng(0)
    content = cv2.imencode(".bmp", rng.integers(0, 256, (47, 61, 3), np.uint8))[1].tobytes()
    (row,) = server.rows(content, "image/bmp")
    image = ImagePreparation(crop=0, image_size=SIDE, input_size=SIDE).of_content(content)
    (expected,) = ServedModel.load(export)(image[np.newaxis]).probabilities
    assert row["probabilities"] == pytest.approx(dict(zip(("hem", "all"), expected, strict=True)), abs=1e-6)


@pytest.mark.parametrize(("colour", "called", "refer"), [(RED, "all", False), (BLUE, "hem", False)])
def test_class_decision_and_refer_follow_the_exports_decision(server, colour, called, refer):
    (row,) = server.rows(png(colour))
    assert (row["called"], row["decision"], row["refer"], row["warnings"]) == (called, called, refer, [])


def test_an_image_between_the_classes_is_referred(server):
    assert server.rows(png(BETWEEN))[0]["refer"] is True


def test_colours_beyond_those_of_training_are_told(server):
    assert re.search("colours", server.rows(png((255, 255, 255)))[0]["warnings"][0])


def test_several_images_come_as_a_form_or_as_json(server):
    files = [("a.png", png(RED)), ("b.png", png(BLUE))]
    assert [(row["name"], row["called"]) for row in server.rows(*form(files))] == [("a.png", "all"), ("b.png", "hem")]
    given = [{"name": name, "content": base64.b64encode(content).decode()} for name, content in files]
    rows = server.rows(json.dumps({"images": given}), "application/json")
    assert [(row["name"], row["called"]) for row in rows] == [("a.png", "all"), ("b.png", "hem")]
    assert server.rows(json.dumps({"images": [given[1]["content"]]}), "application/json")[0]["called"] == "hem"


def test_an_image_that_cannot_be_used_costs_the_others_nothing(server):
    rows = server.rows(*form([("a.png", b"no image"), ("b.png", png(BLUE))]))
    assert "not an image" in rows[0]["error"]
    assert rows[1]["called"] == "hem"


def test_answers_in_csv_where_accept_asks_for_it(server):
    body, kind = form([("=1+1", png(RED)), ("b.png", b"no image")])
    status, headers, answer = server.ask(body=body, headers={"Content-Type": kind, "Accept": "text/csv"})
    assert (status, headers.get_content_type()) == (200, "text/csv")
    first, second = csv.DictReader(io.StringIO(answer.decode()))
    assert first["name"] == "'=1+1", "a spreadsheet would compute it"
    assert float(first["probability_all"]) > 0.9
    assert (first["decision"], first["refer"]) == ("all", "False")
    assert second["probability_all"] == ""
    assert "not an image" in second["error"]
    assert server.ask(body=png(RED), headers={"Content-Type": "image/png", "Accept": "text/html"})[0] == 406


def test_the_heat_map_lies_on_what_the_call_rests_on(server):
    pixels = np.full((SIDE, SIDE, 3), 40, np.uint8)
    pixels[4:12, 16:24] = (40, 40, 255)  # BGR: a red mark
    content = cv2.imencode(".png", pixels)[1].tobytes()
    status, _, answer = server.ask("/explain", content, {"Content-Type": "image/png"})
    told = json.loads(answer)
    drops = np.array(told["drops"])
    assert status == 200
    assert drops.shape == (8, 8)
    assert np.argwhere(drops == drops.max()).tolist()[0] in [[1, 4], [1, 5], [2, 4], [2, 5]]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(told["image"]), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown, pixels)


def test_what_is_counted_can_be_asked_for(server):
    def count(outcome):
        found = re.search(rb'hvdcells_images_total{outcome="%s"} (\S+)' % outcome, server.ask("/metrics")[2])
        return float(found[1]) if found else 0.0

    before = count(b"predicted"), count(b"referred"), count(b"rejected")
    server.rows(*form([("a", png(RED)), ("b", png(BETWEEN)), ("c", b"no image")]))
    after = count(b"predicted"), count(b"referred"), count(b"rejected")
    assert np.subtract(after, before).tolist() == [1, 1, 1]


def test_the_interface_and_the_model_describe_themselves(server):
    described = json.loads(server.ask("/openapi.json")[2])
    assert set(described["paths"]) == {"/ping", "/invocations", "/explain", "/model", "/metrics"}
    assert "multipart/form-data" in described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    model = json.loads(server.ask("/model")[2])
    assert model["decision"]["class_names"] == ["hem", "all"]
    assert "Not a medical device" in model["notice"]
    assert "synthetic" in model["synthetic_notice"]


def test_a_file_that_model_json_does_not_describe_is_not_served(tmp_path):
    from hvdcells import UserError

    export = write_tiny_export(tmp_path / "export")
    (export / "model.onnx").write_bytes(b"another")
    with pytest.raises(UserError, match=r"not the file that model\.json describes"):
        ServedModel.load(export)
