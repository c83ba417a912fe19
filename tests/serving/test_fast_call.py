"""FastCall against the signature it calls."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.fast_call import FastCall


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("module"))
    module = tf.Module()
    module.scale = tf.Variable([2.0, 3.0])
    specs = {
        "words": tf.TensorSpec((None, None), tf.string, "words"),
        "numbers": tf.TensorSpec((None, None, 2), tf.float32, "numbers"),
        "count": tf.TensorSpec((None,), tf.int32, "count"),
    }

    def serve(words, numbers, count):
        return {
            "sizes": tf.strings.length(words),
            "a": numbers * module.scale,
            "more": count + 1,
        }

    signature = tf.function(serve).get_concrete_function(**specs)
    tf.saved_model.save(module, folder, signatures={"serve": signature})
    loaded = tf.saved_model.load(folder)
    # The variables live as long as what was loaded.
    yield loaded.signatures["serve"]
    del loaded


def request(num_requests):
    return {
        "count": np.arange(num_requests, dtype="int32"),
        "numbers": np.ones((num_requests, 3, 2), "float32"),
        "words": np.full((num_requests, 2), b"four", object),
    }


@pytest.mark.parametrize("num_requests", [0, 1, 2])
def test_equals_the_signature(function, num_requests):
    inputs = request(num_requests)
    tensors = {name: tf.constant(array) for name, array in inputs.items()}
    if not num_requests:
        tensors["words"] = tf.zeros((0, 2), tf.string)
    expected = function(**tensors)
    found = FastCall(function)({n: t.numpy() for n, t in tensors.items()})
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_takes_lists_and_other_whole_numbers(function):
    inputs = request(1)
    expected = FastCall(function)(inputs)
    inputs["count"] = inputs["count"].astype("int64")
    inputs["numbers"] = inputs["numbers"].tolist()
    found = FastCall(function)(inputs)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_the_call_sees_a_variable_that_changed(function):
    call = FastCall(function)
    before = call(request(1))["a"].numpy()
    (scale,) = function.captured_inputs
    tf.raw_ops.AssignVariableOp(resource=scale, value=[4.0, 6.0])
    after = call(request(1))["a"].numpy()
    tf.raw_ops.AssignVariableOp(resource=scale, value=[2.0, 3.0])
    np.testing.assert_allclose(after, 2 * before)


def test_a_wrong_shape_is_refused(function):
    wrong = np.ones((1, 3, 5), "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="1,3,5"):
        FastCall(function)({**request(1), "numbers": wrong})
