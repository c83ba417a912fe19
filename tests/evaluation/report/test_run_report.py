"""The report: self-contained, complete, and true to the numbers."""

import base64
import copy
import html.parser
import io
import re

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from jd_tf.evaluation.report import metric_pictures
from jd_tf.evaluation.report.metric_pictures import (
    by_objective,
    interval_picture,
    learning_pictures,
    reliability_picture,
)
from jd_tf.evaluation.report.run_report import printed_summary, write_report
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.schema import Objective
from tests.requests import small_schema

OBJECTIVES = (Objective("click"), Objective("long_view"), Objective("order"))


class _Page(html.parser.HTMLParser):
    """Collects text, images and links, and checks that tags are closed."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.words, self.images, self.links, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.images.append(attrs)
        self.links += [attrs[n] for n in ("src", "href") if n in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(0)
    truth = rng.random((300, 8, 3)) * [0.4, 0.3, 0.0]
    labels = (rng.random(truth.shape) < truth).astype(np.float32)
    noise = rng.random(truth.shape)
    systems = {
        "jd_ranker": {"probabilities": 0.5 * truth + 0.2 * noise},
        "popularity": {"probabilities": 0.2 * truth + 0.2 * noise},
        "trees": {"probabilities": truth},
        "oracle": {"objective_scores": truth},
    }
    found = evaluate_predictions(
        labels,
        np.ones_like(labels),
        np.full(300, 8),
        systems,
        OBJECTIVES,
        num_replicates=50,
    )
    return {"validation": found, "test": found}


@pytest.fixture(scope="module")
def page(metrics, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    history = [
        {"step": 10 * i, "loss": 1 / i, "validation/loss/long_view": 2 / i}
        for i in range(1, 6)
    ]
    write_report(
        path,
        metrics,
        title="Run <1>",
        schema=small_schema(),
        history=history,
        config={"model": {"num_heads": 4}},
        summary={"train": {"requests": 12}},
        reference="jd_ranker",
    )
    return path.read_text(encoding="utf-8")


def test_it_needs_nothing_from_elsewhere(page):
    parsed = _Page(page)
    assert parsed.open == []
    assert parsed.images
    assert all(link.startswith("data:image/png") for link in parsed.links)
    rest = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page)
    assert not re.search(r"https?://|url\(|@import|<script", rest)


def test_pictures_are_pictures_and_described(page):
    for image in _Page(page).images:
        raw = base64.b64decode(image["src"].split(",")[1])
        pixels = matplotlib.image.imread(io.BytesIO(raw), format="png")
        assert min(pixels.shape[:2]) > 100
        assert pixels.std() > 0
        assert len(image["alt"]) > 20


def test_it_holds_the_numbers(page, metrics):
    words = " ".join(_Page(page).words)
    for entry in metrics["test"].values():
        click = entry["click"]
        assert f"{click['auc']:.4f}" in words
        low, high = click["gauc_interval"]
        assert f"{low:.4f} to {high:.4f}" in words
        assert f"{entry['value']['captured_value@1']:.4f}" in words
    click = metrics["test"]["jd_ranker"]["click"]
    share = click["popularity_to_oracle"]["auc"]["share"]
    assert f"{100 * share:.1f} %" in words
    rate = click["num_positives"] / click["num_impressions"]
    assert f"{100 * rate:.2f} %" in words


def test_a_gauc_below_half_is_red_and_marked(metrics, tmp_path):
    systems = copy.deepcopy(metrics["test"])
    systems["jd_ranker"]["click"]["gauc_user"] = 0.61
    systems["trees"]["click"] |= {"gauc": 0.4321, "gauc_user": 0.5}
    page = write_report(tmp_path / "page.html", {"test": systems})
    text = page.read_text(encoding="utf-8")
    red = re.findall(r'<td class="bad">\s*(\S+)', text)
    assert red == ["0.4321", "0.4321"]  # in the overview and in the details
    head, *lines = printed_summary(systems).split("\n")
    rows = {line[: -15 * len(head.split())].strip(): line for line in lines}
    assert rows["GAUC of requests, trees"].split()[-3] == "0.4321!"
    assert rows["GAUC of users, jd_ranker"].split()[-3] == "0.6100"
    assert "! below .5" in lines[-4]
    assert lines[-3].startswith("loses: click: AUC -")
    assert lines[-3].endswith("against trees, the best rival")


def test_next_item_metrics_are_shown_where_there_are_some(
    page, metrics, tmp_path
):
    assert "MRR" not in _Page(page).words
    entry = {"mrr": 0.4321, "mrr_interval": [0.4, 0.5]}
    systems = {
        name: {"click": found["click"] | entry, "value": found["value"]}
        for name, found in metrics["test"].items()
    }
    path = write_report(tmp_path / "page.html", {"test": systems})
    words = _Page(path.read_text(encoding="utf-8")).words
    assert "MRR" in words
    assert "HR@10" not in words
    assert "".join(words).count("0.4321") == len(systems)


def test_losses_and_undefined_metrics_are_highlights(page):
    lines = re.findall(r'<li class="(\w+)"><b>\w+</b>([^<]*)', page)
    assert lines[0][0] == "loses"
    assert "against trees" in lines[0][1]
    assert ("warning", "order: 0 of 2,400 impressions are positive: "
            "metrics are undefined") in lines  # fmt: skip


def test_everything_given_is_shown_and_escaped(page):
    words = " ".join(_Page(page).words)
    for text in ("model.num_heads", "train.requests", "click_event_time"):
        assert text in words
    assert "Run <1>" in words
    assert "Run &lt;1&gt;" in page
    assert "300 requests" in words


def test_learning_curves_have_a_panel_a_quantity():
    history = [
        {
            "step": i,
            "loss": 1.0,
            "loss/long_view": 2.0,
            "validation/loss/long_view": 3.0,
            "validation/loss/click": float("nan"),
            "validation/auc/click": 0.5 + i,
            "learning_rate": 0.1,
            "balance/click": 1.0,
            "balance/long_view": None,
            "seconds": 9.0,
        }
        for i in range(3)
    ]
    main, more = learning_pictures(history, ["click", "view", "long_view"])
    assert main.alt == (
        "Learning curves: loss of all objectives, training ends at 1; "
        "loss of long_view, training ends at 2; "
        "loss of long_view, validation ends at 3; "
        "validation auc, click ends at 2.5"
    )
    assert more.alt == (
        "More curves: learning rate, all objectives ends at 0.1; "
        "balance, click ends at 1"
    )
    assert learning_pictures([], ["click"]) == []


def test_undefined_metrics_make_no_picture(metrics):
    entries = by_objective(metrics["test"])
    alone = {"order": entries["order"]}
    assert interval_picture(alone, "AUC") is None
    both = interval_picture({**alone, "click": entries["click"]}, "AUC")
    assert f"trees {entries['click']['trees']['auc']:.4f}" in both.alt
    assert "order" not in both.alt
    scores_only = {"click": {"oracle": metrics["test"]["oracle"]["click"]}}
    assert reliability_picture(scores_only, "Calibration") is None


def test_one_system_and_no_extras_are_enough(metrics, tmp_path):
    only = {"trees": metrics["test"]["trees"]}
    splits = {"cold_items": only, "test": only}
    path = write_report(tmp_path / "r.html", splits, reference="trees")
    assert "All systems on the test split" in path.read_text()
    with pytest.raises(ValueError, match="no split"):
        write_report(tmp_path / "none.html", {})
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_no_tick_of_calibration_is_written_over_another():
    """Matplotlib names all ticks of an axis of less than two decades."""
    rates = np.geomspace(0.02, 0.6, 10)
    bins = {"predicted": rates, "observed": rates, "weight": np.full(10, 0.1)}
    axes = Figure().add_subplot()
    found = {"jd_ranker": {"reliability": bins, "num_impressions": 1000}}
    metric_pictures._draw_reliability(axes, found)
    for axis in (axes.xaxis, axes.yaxis):
        minor = [tick.get_text() for tick in axis.get_minorticklabels()]
        assert not any(minor)
        low, high = axis.get_view_interval()
        ticks = axis.get_majorticklocs()
        assert ((low <= ticks) & (ticks <= high)).sum() >= 3
