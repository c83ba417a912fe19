"""A SavedModel called with arrays, loaded as a model server loads it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings

SIGNATURE = "serving_default"


@pytest.fixture(scope="module")
def loaded(exported):
    return LoadedModel(exported.folder)


@pytest.fixture(scope="module")
def recordings(exported):
    return list(read_recordings(exported.folder / WARMUP_FILE))


@pytest.fixture
def inputs(recordings):
    return dict(next(r.inputs for r in recordings if r.signature == SIGNATURE))


def test_threads_get_the_answers_to_their_own_calls(loaded, recordings):
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda r: loaded.call(r.signature, r.inputs), recordings * 3
        )
        for recording, answer in zip(recordings * 3, answers, strict=True):
            assert answer.keys() == recording.outputs.keys()
            for name, array in recording.outputs.items():
                np.testing.assert_allclose(
                    answer[name], array, 1e-4, 1e-5, err_msg=name
                )


def test_plain_lists_and_narrower_numbers_are_taken(loaded, inputs):
    expected = loaded.call(SIGNATURE, inputs)
    plain = {
        name: array.astype("int32") if array.dtype == "int64" else array
        for name, array in inputs.items()
    }
    plain["num_candidates"] = inputs["num_candidates"].tolist()
    assert any(plain[name] is not inputs[name] for name in inputs)
    found = loaded.call(SIGNATURE, plain)
    np.testing.assert_array_equal(found["score"], expected["score"])


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("item_id", lambda a: a + 0.5, "`item_id` must be int64. Got: float64"),
        ("item_id", lambda a: a.astype(str), "must be int64. Got: <U21|str"),
        ("item_id", lambda a: a[..., None], "`item_id` must have the shape"),
        ("num_candidates", lambda a: a[0], "must have the shape"),
        ("click_event_time", lambda a: a + 0.5, "must be int64"),
    ],
)
def test_other_dtypes_and_ranks_are_named(loaded, inputs, name, wrong, words):
    inputs[name] = wrong(inputs[name])
    with pytest.raises(ExportError, match=words):
        loaded.call(SIGNATURE, inputs)


def test_missing_and_unknown_names_are_reported(loaded, inputs):
    with pytest.raises(ExportError, match="no signature `rank`, only"):
        loaded.call("rank", inputs)
    del inputs["item_id"]
    with pytest.raises(ExportError, match=r"takes .*item_id.*, got"):
        loaded.call(SIGNATURE, inputs)


def test_a_call_the_graph_cannot_run_fails_alone(loaded, inputs):
    expected = loaded.call(SIGNATURE, inputs)
    broken = {**inputs, "click_length": np.repeat(inputs["click_length"], 2)}
    with pytest.raises(ExportError, match=r"fails: .* differ") as caught:
        loaded.call(SIGNATURE, broken)
    assert isinstance(caught.value.__cause__, tf.errors.OpError)
    again = loaded.call(SIGNATURE, inputs)
    np.testing.assert_array_equal(again["score"], expected["score"])
