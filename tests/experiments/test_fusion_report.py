"""`python -m experiments.fusion_report`, and what it does to a run."""

import json

import pytest

from jd_tf.evaluation.fusion import report as reports
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from tests.evaluation.fusion.fused_shop import SESSION, shop
from tests.experiments.programs import assert_help_is_light, run_program


@pytest.fixture
def report(monkeypatch, tmp_path):
    """The report on a fake trained run."""

    def observe_run(data, workdir, splits, reward, max_requests):
        config = JDRankerConfig.of(
            fusion="personalized", session_seconds=SESSION
        )
        return {s: shop(100 * i) for i, s in enumerate(splits)}, config.fusion

    def scores_of_run(data, workdir, split, max_requests):
        return shop(100).expected[:, ::-1]

    monkeypatch.setattr(reports, "observe_run", observe_run)
    monkeypatch.setattr(reports, "scores_of_run", scores_of_run)

    def go(**options):
        return reports.report_fusion(
            "data",
            "run",
            tmp_path / "fusion",
            **{"num_weights": 40, "num_replicates": 20, **options},
        )

    return go


def test_page_and_numbers_lie_in_the_folder(report):
    page, found = report(beside={"other": "elsewhere"})
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "fusion_report.html",
        "fusion_report.json",
    ]
    stored = json.loads(page.with_suffix(".json").read_text())
    assert stored == found
    assert stored["fusion"] == "personalized"
    assert "other" in stored["comparison"]["rankings"]


def test_searching_where_one_judges_is_refused(report):
    with pytest.raises(DataError, match="must differ"):
        report(search="test")


def test_other_runs_need_names_of_their_own(report):
    with pytest.raises(DataError, match="cannot be called `learned`"):
        report(beside={"learned": "elsewhere"})


def test_missing_data_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        reports.observe_run(tmp_path / "nowhere", tmp_path, ("test",))


def test_a_wrong_flag_is_one_line_and_exit_code_2():
    ended = run_program(
        "fusion_report", "--data=data", "--workdir=run", "--beside=a=1,a=2"
    )
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "name=folder" in ended.stderr


def test_help_needs_no_tensorflow():
    assert_help_is_light("fusion_report")
