"""Tables, CSV, picture and page: true to the runs, and complete."""

import copy
import csv
import io

import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from jd_tf.evaluation.ablations.paired_difference import PairedDifference
from jd_tf.evaluation.ablations.report import write_ablation_report
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.table import (
    Cell,
    check_comparable,
    key_of,
    marks_of,
    pair_cells,
    table_cells,
)
from jd_tf.schema import DataError
from tests.evaluation.ablation_runs import result

ROWS = (
    Row("base", {}),
    Row("twin | pipe", {"use_recency": False}),
    Row("better", {"use_position": True}),
    Row("on top", {"use_position": False}, "better"),
    Row("missing", {"use_matches": False}),
)
SKILL = {"base": 0.5, "twin | pipe": 0.5, "better": 1.5, "on top": 1.5}
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def results():
    return {
        (name, seed): result(skill, 10 * place + seed)
        for place, (name, skill) in enumerate(SKILL.items())
        for seed in SEEDS
        if (name, seed) != ("on top", 3)
    }


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("ablation")
    write_ablation_report(
        path,
        "Ablations <of> a shop",
        ROWS,
        SEEDS,
        results,
        pairs=[("better", "twin | pipe"), ("missing", "base")],
        facts=[("data", "a <shop>")],
        notes=["A note & more."],
    )
    return path


def _cells(results):
    cells = table_cells(ROWS, SEEDS, results)
    return {(c.row, c.kind, c.objective, c.metric): c for c in cells}


def test_cells_hold_means_spreads_and_paired_differences(results):
    cells = _cells(results)
    cell = cells["better", "cold", "click", "gauc"]
    values = [
        results["better", s]["metrics"]["cold"]["click"]["gauc"] for s in SEEDS
    ]
    others = [
        results["base", s]["metrics"]["cold"]["click"]["gauc"] for s in SEEDS
    ]
    assert cell.mean == pytest.approx(np.mean(values))
    assert cell.spread == pytest.approx(np.std(values, ddof=1))
    difference = np.subtract(values, others)
    assert cell.paired.difference == pytest.approx(difference.mean())
    assert cell.paired.seed_error == pytest.approx(
        np.std(difference, ddof=1) / np.sqrt(3)
    )
    assert cells["base", "all", "click", "auc"].paired is None
    # Only the seeds both have are compared.
    assert cells["on top", "all", "click", "auc"].paired.num_seeds == 2
    assert cells["on top", "all", "click", "auc"].against == "better"
    assert not any(row == "missing" for row, *_ in cells)


def test_a_planted_effect_is_marked_and_its_absence_is_not(results):
    cells = table_cells(ROWS, SEEDS, results)
    marks = marks_of(cells)
    for metric in ("auc", "gauc", "ndcg@10"):
        assert marks["better", "base", "all", "click", metric] in ("*", "**")
        assert marks["twin | pipe", "base", "all", "click", metric] == ""
        assert marks["on top", "better", "all", "click", metric] == ""


def test_two_stars_withstand_the_number_of_comparisons():
    def cell(row, p_value):
        distance = stats.norm.isf(p_value / 2)
        paired = PairedDifference(distance, 1.0, np.nan, np.inf, 1)
        return Cell(
            row, "base", "all", "click", "auc", (1,), (0.5,), 1, 2, paired
        )

    cells = [cell(str(p), p) for p in (0.004, 0.006, 0.04, 0.06)]
    more = [cell(f"{i}", 0.5) for i in range(4)]
    undefined = [cell("none", np.nan)]
    for some, expected in (
        (cells, ["**", "**", "*", ""]),
        ([*cells, *more], ["**", "**", "*", ""]),
        ([*cells, *more, cell("more", 0.5)], ["**", "*", "*", ""]),
    ):
        marks = marks_of([*some, *undefined])
        assert [marks[key_of(one)] for one in cells] == expected


def test_runs_on_other_requests_are_not_compared(results):
    odd = {**results, ("odd", 1): result(1.0, 1, num_requests=240)}
    with pytest.raises(DataError, match="row `odd`, seed 1"):
        check_comparable(odd)


def test_csv_holds_every_cell(folder, results):
    lines = list(
        csv.DictReader(io.StringIO((folder / "ablation.csv").read_text()))
    )
    assert len(lines) == 4 * 2 * 2 * 4
    cells = _cells(results)
    for line in lines:
        cell = cells[
            line["row"], line["kind"], line["objective"], line["metric"]
        ]
        assert float(line["mean"]) == pytest.approx(cell.mean)
        if cell.paired is None:
            assert line["difference"] == ""
            continue
        assert float(line["p_value"]) == pytest.approx(cell.paired.p_value)
        assert float(line["low"]) <= float(line["difference"])
    values = list(
        csv.DictReader(io.StringIO((folder / "values.csv").read_text()))
    )
    assert len(values) == 11 * 2 * 2 * 4
    pairs = list(
        csv.DictReader(io.StringIO((folder / "pairs.csv").read_text()))
    )
    assert {(p["row"], p["against"]) for p in pairs} == {
        (one, other) for i, one in enumerate(SKILL) for other in list(SKILL)[:i]
    }


def test_markdown_is_one_table_a_metric(folder, results):
    text = (folder / "ablation.md").read_text()
    assert text.startswith("# Ablations <of> a shop\n\n- data: a <shop>\n")
    assert "- Note: A note & more." in text
    entries = results["base", 1]["metrics"]["cold"]
    click = entries["click"]
    assert (
        f"- impressions and positives, cold items: click "
        f"{click['num_impressions']:,} and {click['num_positives']:,}, order"
    ) in text
    assert "it has no column" not in text
    assert "Not finished, and not in the tables: missing with seed 1" in text
    cell = _cells(results)["better", "all", "click", "gauc"]
    assert f"{cell.mean:.4f} ± {cell.spread:.4f}" in text
    assert f"{cell.paired.difference:+.4f} (" in text
    assert "| click | order | click, cold items | order, cold items |" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace(r"\|", "").count("|") == 7
    assert text.count("\n## ") == 4
    shown = pair_cells([("better", "twin | pipe")], SEEDS, results)
    assert f"{shown[0].paired.difference:+.4f}" in text


def test_page_and_picture(folder):
    page = (folder / "ablation.html").read_text()
    assert "Ablations &lt;of&gt; a shop" in page
    assert "a &lt;shop&gt;" in page
    assert "better against base: GAUC per request of click" in page
    assert "No difference beyond chance" in page
    assert "<script" not in page
    assert "http" not in page
    pixels = matplotlib.image.imread(folder / "ablation.png")
    assert pixels.std() > 0
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_one_seed_is_warned_of_and_nothing_is_an_error(results, tmp_path):
    one = {key: found for key, found in results.items() if key[1] == 1}
    write_ablation_report(tmp_path, "One", ROWS, (1,), one)
    assert "One seed says nothing" in (tmp_path / "ablation.md").read_text()
    with pytest.raises(ValueError, match="no finished run"):
        write_ablation_report(tmp_path, "None", ROWS, (1,), {})


def test_a_kind_without_candidates_is_named(results, tmp_path):
    found = copy.deepcopy(results["base", 1])
    for entry in found["metrics"]["cold"].values():
        entry.update(dict.fromkeys(entry), num_impressions=0, num_positives=0)
    write_ablation_report(tmp_path, "No", ROWS[:1], (1,), {("base", 1): found})
    text = (tmp_path / "ablation.md").read_text()
    assert "No candidate was of the kind `cold`" in text
    assert "| row | against | click | order |\n" in text


def test_one_row_has_nothing_to_compare(results, tmp_path):
    only = {key: found for key, found in results.items() if key[0] == "base"}
    page = write_ablation_report(tmp_path, "Only", ROWS[:1], SEEDS, only)
    assert "Nothing to compare yet" in page.read_text()
    assert not (tmp_path / "ablation.png").exists()
