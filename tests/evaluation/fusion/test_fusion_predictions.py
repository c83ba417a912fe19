"""Files of predictions: what is kept and what is refused."""

import dataclasses

import numpy as np
import pytest

from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.schema import DataError
from tests.evaluation.fusion.test_weight_judge import VALUES, random_predictions
from tests.evaluation.toy_shop import toy_batch, toy_schema


def _full():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 5)).astype("float32")
    return random_predictions(
        gains=rng.random((40, 5)).astype("float32"),
        scores={"learned": scores},
        segments={
            "hour": rng.integers(0, 24, 40),
            "intent": np.array([b"buy", b"browse"] * 20, object),
        },
    )


def test_a_file_keeps_everything(tmp_path):
    written = _full()
    written.save(tmp_path / "some folder" / "validation.npz")
    read = FusionPredictions.load(tmp_path / "some folder" / "validation.npz")
    for name in ("probabilities", "labels", "num_candidates", "gains"):
        np.testing.assert_array_equal(
            getattr(read, name), getattr(written, name)
        )
    assert (read.objectives, read.values) == (written.objectives, VALUES)
    np.testing.assert_array_equal(
        read.scores["learned"], written.scores["learned"]
    )
    assert read.segments["intent"].tolist() == ["buy", "browse"] * 20
    assert read.segments["hour"].dtype == np.int64
    assert [p.name for p in (tmp_path / "some folder").iterdir()] == [
        "validation.npz"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((40, 5, 2))}, r"`labels` must have shape \(40, 5"),
        ({"objectives": ("click",)}, r"must be \[R, N, 1\].*Got: \(40, 5, 3"),
        ({"values": (1.0, 2.0)}, "`values` must be 3 finite"),
        ({"values": (1.0, np.nan, 1.0)}, "`values` must be 3 finite"),
        ({"segments": {"hour": np.zeros(3)}}, "`segment_hour` must have"),
        ({"scores": {"x": np.zeros((40, 4))}}, "`score_x` must have shape"),
        ({"num_candidates": np.full(40, 9)}, r"must lie in 0\.\.5. Got: 9"),
        (
            {"probabilities": np.full((40, 5, 3), 1.5)},
            r"`probabilities` must lie in \[0, 1\]. Got: 1.5 at \(",
        ),
        (
            {"scores": {"x": np.full((40, 5), np.nan)}},
            "`score_x` must lie in .* Got: nan",
        ),
        (
            {"gains": np.full((40, 5), np.inf)},
            "`gains` must lie in .* Got: inf",
        ),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(DataError, match=message):
        random_predictions(**change)


def test_files_that_are_none_are_named(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(DataError, match=r"x\.npz: no such file"):
        FusionPredictions.load(path)
    _full().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x\.npz: not an \.npz"):
        FusionPredictions.load(path)
    np.savez(path, probabilities=np.zeros((1, 1, 1)))
    with pytest.raises(DataError, match=r"x\.npz: has no array 'labels'"):
        FusionPredictions.load(path)
    path.write_text("hello")
    with pytest.raises(DataError, match=r"x\.npz: not an \.npz"):
        FusionPredictions.load(path)


def test_gains_and_the_plain_rule():
    predictions = random_predictions()
    expected = predictions.labels @ np.array(VALUES)
    real = predictions.real
    np.testing.assert_allclose(predictions.total_gains()[real], expected[real])
    assert not predictions.total_gains()[~real].any()
    np.testing.assert_allclose(
        predictions.expected_values(),
        predictions.probabilities @ np.array(VALUES),
        rtol=1e-5,
    )
    other = _full().with_values((1.0, 0.0, 0.0))
    assert other.gains is None
    np.testing.assert_array_equal(
        other.total_gains()[other.real], other.labels[other.real][:, 0]
    )


def test_made_from_an_evaluation():
    schema = toy_schema()

    def score(batch):
        shape = (*batch["item_id"].shape, 2)
        chances = np.full(shape, 0.25, "float32")
        return {"probabilities": chances, "score": chances[..., 0]}

    found = collect_predictions(
        [toy_batch(0)], schema, {"ranker": score}, columns=["hour"]
    )
    weights = found.label_weights * 2
    weights[0, 0] = 0
    found.labels[0, 0] = 1
    found = dataclasses.replace(found, label_weights=weights)
    predictions = FusionPredictions.of_run(found, "ranker")
    assert predictions.segments["hour"].tolist() == (
        found.columns["hour"].tolist()
    )
    assert predictions.objectives == ("click", "order")
    assert predictions.values == (1.0, 10.0)
    real = predictions.real
    assert not predictions.labels[0, 0].any()
    found.labels[0, 0] = 0
    np.testing.assert_array_equal(predictions.labels[real], found.labels[real])
    assert not predictions.labels[~real].any()
    gain = WeightJudge(predictions).request_ndcg(predictions.expected_values())
    order = {"ranker": {"score": predictions.expected_values()}}
    found = dataclasses.replace(found, systems=order)
    judged = found.evaluate(num_replicates=0)["ranker"]["value"]
    assert np.nanmean(gain) == pytest.approx(judged["ndcg@10"], rel=1e-5)
