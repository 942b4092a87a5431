"""The report of made-up points: its files, and what its page holds."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from benchmarks.report.__main__ import write_report
from benchmarks.report.figures import _panels, throughput
from benchmarks.scaling.plan import plan
from benchmarks.scaling.sweep import run_sweep
from hvdcells.errors import UserError
from tests.benchmarks.scaling.made import outcome, request
from tests.processes import ROOT
from tests.small_dataset import write_small_dataset

METHODS = {
    "methods": [
        {
            "name": "horovod",
            "title": "Horovod <on> Spark",
            "status": "ran",
            "reason": None,
            "images_per_second": 400.0,
            "images_per_second_values": [390.0, 400.0, 420.0],
            "seconds_to_f1": 41.0,
            "weighted_f1": 0.931,
        },
        {"name": "bigdl", "title": "BigDL", "status": "failed", "reason": "no Java 11", "images_per_second": None},
        {"name": "elephas", "status": "ran", "reason": None, "images_per_second": 90.0, "seconds_to_f1": None},
    ]
}
FOUR_HOSTS = {
    "hosts": ["hv1", "hv2"],
    "fallback_reason": None,
    "images": 20,
    "subjects": 4,
    "runs": [
        {
            "workers": 2,
            "hosts": ["hv1", "hv2"],
            "validation_weighted_f1": 0.9,
            "test_weighted_f1": 0.912,
            "train_seconds": 10.0,
        }
    ],
}


class Page(HTMLParser):
    """Pictures, addresses, ids, words, and whether every tag was closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "hr"})

    def __init__(self, html):
        super().__init__()
        self.pictures, self.addresses, self.ids, self.words, self.open = [], [], set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(attributes)
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        self.ids.add(attributes.get("id"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    dataset = write_small_dataset(folder / "dataset", {"train": [[8, 8], [8, 8]]})
    asked = request(workers=(1, 2, 4), modes=("weak", "strong"), inputs=("memory", "dataset"))
    run_sweep(plan(asked, dataset), folder / "scaling", 2, usd_per_host_hour=0.5, starting=outcome)
    (folder / "methods.json").write_text(json.dumps(METHODS))
    (folder / "four_hosts.json").write_text(json.dumps(FOUR_HOSTS))
    return folder


def test_one_plot_for_each_question_and_one_page(results, tmp_path):
    written = write_report(results, tmp_path / "report")
    assert [path.name for path in written] == [
        *("throughput.png", "efficiency.png", "cost.png", "methods.png"),
        "index.html",
    ]
    for path in written[:-1]:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000


def test_the_page_is_whole_and_needs_nothing_beside_it(results, tmp_path):
    html = write_report(results, tmp_path)[-1].read_text()
    page = Page(html)
    assert page.open == []
    assert {"throughput", "efficiency", "cost", "points", "hosts", "methods", "environment"} <= page.ids
    assert len(page.pictures) == 4
    assert all(picture["alt"] for picture in page.pictures)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= page.ids
    assert not re.search(r"@import|<script|url\((?!['\"]?data:)", html)


def test_the_page_says_what_was_measured_and_what_must_be_known(results, tmp_path):
    text = Page(write_report(results, tmp_path)[-1].read_text()).text
    # Two workers at 90 % of twice 100 images/s; four ranks of a thread on two cores.
    assert "2 8 180.0 0% of 2 90% 90%" in text
    assert "Ranks share cores: 2 compute threads for each core" in text
    assert "Some points were measured with ranks that share cores" in text
    assert "Horovod <on> Spark ran 400 41 0.931" in text
    assert "failed: no Java 11" in text
    assert "2 hv1, hv2 0.900 0.912" in text


def test_without_prices_there_is_no_cost_and_an_old_plot_goes(results, tmp_path):
    folder = tmp_path / "results"
    run_sweep(plan(request(), None), folder / "scaling", 1, starting=outcome)
    out = folder / "report"
    out.mkdir()
    (out / "cost.png").write_text("of yesterday")
    assert [path.name for path in write_report(folder, out)] == ["throughput.png", "efficiency.png", "index.html"]
    assert not (out / "cost.png").exists()
    assert "No price was given" in Page((out / "index.html").read_text()).text


def test_methods_alone_are_reported(tmp_path):
    (tmp_path / "methods.json").write_text(json.dumps(METHODS))
    page = Page(write_report(tmp_path, tmp_path / "report")[-1].read_text())
    assert "methods" in page.ids
    assert "throughput" not in page.ids


def test_the_throughput_plot_shows_the_points(results):
    from benchmarks.scaling.point import read_points

    figure = throughput(read_points(results / "scaling"))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [
        f"{mode} scaling, input {read}" for mode in ("weak", "strong") for read in ("in memory", "from a dataset")
    ]
    marks = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line.get_markerfacecolor())
        for line in shown[0].lines
        if len(line.get_xdata()) == 1
    }
    rates = {(x, y): face for x, y, face in marks}
    assert set(rates) == {(1, 100), (2, 180), (4, 360)}
    assert rates[4, 360] == "white", "hollow where ranks share cores"
    assert rates[2, 180] != "white"
    assert shown[0].get_ylim()[0] == 0


def test_an_odd_number_of_panels_hides_the_place_too_many(results):
    from benchmarks.scaling.point import read_points

    points = [p for p in read_points(results / "scaling") if (p.mode, p.input) != ("strong", "dataset")]
    axes = _panels(points, lambda *_: None, "y", []).axes
    assert [each.get_visible() for each in axes] == [True, True, True, False]


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no points"):
        write_report(tmp_path, tmp_path / "report")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
