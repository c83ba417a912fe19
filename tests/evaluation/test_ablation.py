"""Finished runs stay, others are resumed."""

import json

import pytest

from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.runs import RESULT_FILE, Ablation
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from tests.evaluation.ablation_runs import result

BASE = JDRankerConfig.of(model_dim=8)
ROWS = (Row("base", {"use_recency": False}), Row("+ age", {}))


class _Work:
    """Stands for training and judging; dies at a given run."""

    def __init__(self, die_at=None):
        self.trained, self.judged, self.die_at = [], [], die_at

    def train(self, config, seed, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.trained.append((config.sequence.use_recency, seed, folder.name))
        if len(self.trained) == self.die_at:
            raise KeyboardInterrupt
        (folder / "weights").write_text("w")

    def judge(self, folder):
        self.judged.append(folder)
        return result(
            1.0 if "age" in str(folder) else 0.5, seed=len(str(folder))
        )


def _ablation(path, rows=ROWS, seeds=(1, 2), **settings):
    return Ablation(
        path / "run", {"data": "abc", **settings}, BASE, rows, seeds
    )


def test_a_killed_job_makes_only_what_is_missing(tmp_path):
    first = _Work(die_at=3)
    with pytest.raises(KeyboardInterrupt):
        _ablation(tmp_path).run(first.train, first.judge, log=lambda _: None)
    assert [t[:2] for t in first.trained] == [(False, 1), (True, 1), (False, 2)]

    second, sizes = _Work(), []
    ablation = _ablation(tmp_path)
    before = ablation.results()
    assert set(before) == {("base", 1), ("+ age", 1)}
    found = ablation.run(
        second.train,
        second.judge,
        lambda results: sizes.append(len(results)),
        lambda folder: (folder / "weights").unlink(),
        log=lambda _: None,
    )
    assert [t[:2] for t in second.trained] == [(False, 2), (True, 2)]
    assert sizes == [3, 4]
    assert found[("base", 1)] == before[("base", 1)]
    assert found == ablation.results()
    # Nothing is left to do, and what was not wanted is gone.
    third = _Work()
    assert ablation.run(third.train, third.judge, log=lambda _: None) == found
    assert not third.trained
    assert not (ablation.folder(ROWS[0], 2) / "weights").exists()


def test_a_result_that_was_being_written_does_not_count(tmp_path):
    work, ablation = _Work(), _ablation(tmp_path, seeds=(1,))
    ablation.run(work.train, work.judge, log=lambda _: None)
    folder = ablation.folder(ROWS[1], 1)
    (folder / RESULT_FILE).rename(folder / f".{RESULT_FILE}.123")
    assert set(ablation.results()) == {("base", 1)}


def test_rows_and_seeds_may_be_added(tmp_path):
    work = _Work()
    _ablation(tmp_path, ROWS[:1], (1,)).run(
        work.train, work.judge, log=lambda _: None
    )
    more = _Work()
    _ablation(tmp_path, ROWS, (1, 2)).run(
        more.train, more.judge, log=lambda _: None
    )
    assert len(more.trained) == 3


def test_other_settings_are_refused(tmp_path):
    work = _Work()
    _ablation(tmp_path, split="test").run(
        work.train, work.judge, log=lambda _: None
    )
    with pytest.raises(DataError, match="split = 'test', not 'validation'"):
        _ablation(tmp_path, split="validation")
    with pytest.raises(DataError, match="base: items: model_dim = 8, not 16"):
        Ablation(
            tmp_path / "run",
            {"data": "abc", "split": "test"},
            JDRankerConfig.of(model_dim=16),
            ROWS,
            (1,),
        )
    changed = (Row("base", {"use_recency": True}),)
    with pytest.raises(DataError, match="sequence: use_recency = False"):
        _ablation(tmp_path, changed, split="test").results()


def test_unusable_folders_seeds_and_results_are_named(tmp_path):
    for seeds in ((), (1, 1)):
        with pytest.raises(DataError, match="seeds must be different"):
            _ablation(tmp_path, seeds=seeds)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="holds something else"):
        Ablation(tmp_path / "other", {}, BASE, ROWS, (1,))
    with pytest.raises(DataError, match="is a file"):
        Ablation(tmp_path / "other" / "mine.txt", {}, BASE, ROWS, (1,))
    with pytest.raises(DataError, match="no field `use_magic`"):
        _ablation(tmp_path, (Row("a", {"use_magic": True}),))
    ablation = _ablation(tmp_path)
    path = ablation.folder(ROWS[0], 1) / RESULT_FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"row": "base"}))
    with pytest.raises(DataError, match=r"result\.json: is no result"):
        ablation.results()
