"""Tables of neighbours by an engine are those of SciPy."""

import shutil

import numpy as np
import pytest

from jd_tf.data.tables.making import open_engine
from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.swing import swing_table
from tests.pipeline.recall.small_interactions import random_interactions

WAYS = {
    "plain": (co_occurrence_table, {}),
    "decayed": (
        co_occurrence_table,
        {
            "half_life": 200.0,
            "user_damping": 0.5,
            "target_damping": 0.4,
            "num_neighbors": 4,
        },
    ),
    # Of an item's users five are drawn, of whom items lead.
    "swing": (swing_table, {"max_users": 5, "num_neighbors": 3}),
    "whole swing": (
        swing_table,
        {
            "max_users": 0,
            "alpha": 0.0,
            "user_damping": 0.0,
            "event_damping": 0.3,
            "target_damping": 0.0,
        },
    ),
}


def check(engine_name, way, folder, texts=False, **options):
    make, settings = WAYS[way]
    logs = random_interactions(texts=texts)
    expected = make(logs, **settings)
    engine = open_engine(engine_name, folder, num_processes=1, **options)
    found = make(logs, **settings, engine=engine)
    assert found.meta == expected.meta
    assert found.key_id.tolist() == expected.key_id.tolist()
    assert expected.weights.nnz > 40
    np.testing.assert_allclose(
        found.weights.toarray(), expected.weights.toarray(), rtol=1e-5
    )


@pytest.mark.parametrize("way", WAYS)
def test_duckdb_makes_the_same_table(way, tmp_path):
    check("duckdb", way, tmp_path / "stage", texts=way == "plain")


def test_what_has_decayed_to_nothing_has_no_neighbours(tmp_path):
    """Its weight is no NaN, and no row of the table."""
    logs = random_interactions()
    options = {"half_life": 1e-3}
    engine = open_engine("duckdb", tmp_path, num_processes=1)
    found = co_occurrence_table(logs, **options, engine=engine)
    expected = co_occurrence_table(logs, **options)
    np.testing.assert_array_equal(
        found.weights.toarray() > 1e-30, expected.weights.toarray() > 1e-30
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java 17")
@pytest.mark.parametrize("way", ["decayed", "swing"])
def test_spark_makes_the_same_table(way, tmp_path):
    pytest.importorskip("pyspark", reason="pip install 'jd_tf[spark]'")
    check("spark", way, tmp_path / "stage", master="local[1]")
