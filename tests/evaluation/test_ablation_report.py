"""Tables, CSV, picture and page of an ablation."""

import copy
import html
import re

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from jd_tf.evaluation.ablations.comparison import (
    add_significance,
    compare,
    paired_difference,
    runs_table,
    table_pairs,
)
from jd_tf.evaluation.ablations.report import write_ablation_report
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.schema import DataError
from tests.evaluation.ablation_runs import result

ROWS = (
    Row("base", {}),
    Row("twin | pipe", {"use_recency": False}),
    Row("better", {"use_position": True}),
    Row("on top", {"use_position": False}, "better"),
    Row("missing", {"use_overlap": False}),
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


@pytest.fixture(scope="module")
def runs(results):
    return runs_table(ROWS, SEEDS, results)


@pytest.fixture(scope="module")
def table(runs):
    """Lines by row, kind, objective and metric."""
    table = add_significance(compare(runs, table_pairs(ROWS)))
    return table.set_index(["row", "kind", "objective", "metric"])


def test_lines_hold_means_spreads_and_paired_differences(results, table):
    line = table.loc["better", "cold", "click", "gauc"]
    values, others = (
        [results[name, s]["metrics"]["cold"]["click"]["gauc"] for s in SEEDS]
        for name in ("better", "base")
    )
    drawn = [
        np.array(
            [
                results[name, s]["replicates"]["cold"]["click"]["gauc"]
                for s in SEEDS
            ],
            float,
        )
        for name in ("better", "base")
    ]
    assert line["mean"] == pytest.approx(np.mean(values))
    assert line["spread"] == pytest.approx(np.std(values, ddof=1))
    for name, value in paired_difference(values, others, *drawn).items():
        assert line[name] == pytest.approx(value), name
    assert np.isnan(table.loc["base", "all", "click", "auc"]["difference"])
    assert "missing" not in table.index
    # Only the seeds both have are compared.
    line = table.loc["on top", "all", "click", "auc"]
    assert (line["against"], line["seeds"]) == ("better", "1 2")
    two = [
        results["on top", s]["metrics"]["all"]["click"]["auc"]
        - results["better", s]["metrics"]["all"]["click"]["auc"]
        for s in (1, 2)
    ]
    assert line["difference"] == pytest.approx(np.mean(two))


def test_a_planted_effect_is_marked_and_its_absence_is_not(table):
    for metric in ("auc", "gauc", "ndcg@10"):
        stars = table.xs(("all", "click", metric), level=[1, 2, 3])
        assert stars["significant"]["better"] in ("*", "**")
        assert stars["significant"]["twin | pipe"] == ""
        assert stars["significant"]["on top"] == ""


def test_two_stars_withstand_the_number_of_comparisons():
    values = [0.004, 0.006, 0.04, 0.06]
    for more, expected in (
        ([], ["**", "**", "*", ""]),
        ([0.5] * 4, ["**", "**", "*", ""]),
        ([0.5] * 5, ["**", "*", "*", ""]),
    ):
        p_values = pd.DataFrame({"p_value": [*values, *more, np.nan]})
        assert list(add_significance(p_values)["significant"])[:4] == expected


def test_runs_on_other_requests_are_not_compared(results):
    odd = {**results, ("odd", 1): result(1.0, 1, num_requests=240)}
    with pytest.raises(DataError, match="row `odd`, seed 1"):
        runs_table(ROWS, SEEDS, odd)


def test_csv_holds_every_line(folder, table):
    found = pd.read_csv(folder / "ablation.csv", keep_default_na=False)
    assert len(found) == 4 * 2 * 2 * 4
    for line in found.itertuples():
        cell = table.loc[line.row, line.kind, line.objective, line.metric]
        assert float(line.mean) == pytest.approx(cell["mean"])
        if line.row == "base":
            assert line.difference == ""
            continue
        assert float(line.p_value) == pytest.approx(cell["p_value"])
        assert float(line.low) <= float(line.difference) <= float(line.high)
    assert len(pd.read_csv(folder / "values.csv")) == 11 * 2 * 2 * 4
    pairs = pd.read_csv(folder / "pairs.csv")
    assert set(zip(pairs["row"], pairs["against"], strict=True)) == {
        (one, other) for i, one in enumerate(SKILL) for other in list(SKILL)[:i]
    }


def _text(page):
    """The text of a page, a line of cells for each row of its tables."""
    page = page.split("<main>")[1].replace("\n", " ").replace("</tr>", "\n")
    text = re.sub("<[^>]+>", " ", re.sub("</t[dh]>", " | ", page))
    return re.sub(" +", " ", html.unescape(text))


def test_page_is_one_table_a_metric(folder, results, runs, table):
    page = (folder / "ablation.html").read_text()
    assert "Ablations &lt;of&gt; a shop" in page
    assert not re.search("<script|http", page)
    text = _text(page)
    assert "data | a <shop> |" in text
    assert "A note & more." in text
    click = results["base", 1]["metrics"]["cold"]["click"]
    assert (
        f"impressions and positives, cold items | click "
        f"{click['num_impressions']:,} and {click['num_positives']:,}, order"
    ) in text
    assert "it has no column" not in text
    assert "Not finished, and not in the tables: missing with seed 1" in text
    for metric in ("auc", "gauc", "gauc_user", "ndcg@10"):
        line = table.loc["better", "all", "click", metric]
        assert (
            f"better | base | {line['mean']:.4f} ± {line['spread']:.4f} "
            f"{line['difference']:+.4f} ({line['standard_errors']:.1f}) "
        ) in text
    heads = "row | against | click | order | click, cold items | order, cold"
    assert text.count(heads) == 4 * 2
    further = compare(runs, [("better", "twin | pipe")])
    for line in further.itertuples():
        assert f"{line.difference:+.4f} ({line.standard_errors:.1f})" in text
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    assert matplotlib.image.imread(folder / "ablation.png").std() > 0


def test_one_seed_is_warned_of_and_nothing_is_an_error(results, tmp_path):
    one = {key: found for key, found in results.items() if key[1] == 1}
    page = write_ablation_report(tmp_path, "One", ROWS, (1,), one)
    assert "One seed does not show" in page.read_text()
    with pytest.raises(ValueError, match="no finished run"):
        write_ablation_report(tmp_path, "None", ROWS, (1,), {})


def test_a_kind_without_candidates_is_named(results, tmp_path):
    found = copy.deepcopy(results["base", 1])
    for entry in found["metrics"]["cold"].values():
        entry.update(dict.fromkeys(entry), num_impressions=0, num_positives=0)
    only = {("base", 1): found}
    page = write_ablation_report(tmp_path, "No", ROWS[:1], (1,), only)
    text = _text(page.read_text())
    assert "No candidate was of the kind `cold`" in text
    assert "row | against | click | order | \n" in text


def test_one_row_has_nothing_to_compare(results, tmp_path):
    only = {key: found for key, found in results.items() if key[0] == "base"}
    page = write_ablation_report(tmp_path, "Only", ROWS[:1], SEEDS, only)
    assert "Nothing to compare yet" in page.read_text()
    assert not (tmp_path / "ablation.png").exists()
