"""What a model server restores, which is not what Python's loader does."""

import keras
import numpy as np
import tensorflow as tf

from jd_tf.serving.exported_state import exported_state
from jd_tf.serving.recordings import Recording
from jd_tf.serving.server_load import server_complaints
from jd_tf.serving.signatures import SERVING_DEFAULT, ServedRanker
from tests.serving.tiny_ranker import TinyRanker

INPUTS = {
    "click_item_id": np.array([[3, 4]]),
    "click_age_seconds": np.array([[1.0, 2.0]], "float32"),
    "click_length": np.array([2], "int32"),
    "item_id": np.array([[5, 6, 7]]),
    "num_candidates": np.array([3], "int32"),
}


def in_a_session(folder):
    """Loads by the graph's own restore op, as a server; answers."""
    graph = tf.Graph()
    with tf.compat.v1.Session(graph=graph) as session, graph.as_default():
        loaded = tf.compat.v1.saved_model.loader.load(
            session, ["serve"], str(folder)
        )
        signature = loaded.signature_def[SERVING_DEFAULT]
        return session.run(
            signature.outputs["score"].name,
            {signature.inputs[n].name: array for n, array in INPUTS.items()},
        )


def test_a_server_restores_every_variable(tmp_path):
    keras.utils.set_random_seed(2)
    model = TinyRanker()
    served = ServedRanker(model)
    tf.saved_model.save(
        served.variables(), str(tmp_path), signatures=served.functions()
    )
    expected = served.answer(SERVING_DEFAULT, INPUTS)["score"]
    np.testing.assert_allclose(in_a_session(tmp_path), expected, 1e-5)


def test_variables_that_a_server_does_not_restore_are_found(tmp_path):
    keras.utils.set_random_seed(2)
    model = TinyRanker()
    served = ServedRanker(model)
    outputs = served.answer(SERVING_DEFAULT, INPUTS)
    recording = Recording(
        SERVING_DEFAULT, INPUTS, {n: t.numpy() for n, t in outputs.items()}
    )
    good, bad = tmp_path / "good", tmp_path / "bad"
    tf.saved_model.save(
        served.variables(), str(good), signatures=served.functions()
    )
    assert not list(server_complaints(good, [recording], 1e-5))
    wrong = {n: array + 1 for n, array in recording.outputs.items()}
    other = Recording(SERVING_DEFAULT, INPUTS, wrong)
    (complaint,) = server_complaints(good, [other], 1e-5)
    assert "signature `serving_default` in a model server" in complaint
    # As Keras would export it: copies of the variables are restored.
    keras_objects = tf.Module()
    keras_objects.layers = model.layers
    tf.saved_model.save(keras_objects, str(bad), signatures=served.functions())
    tf.saved_model.load(str(bad))
    (complaint,) = server_complaints(bad, [recording], 1e-5)
    assert "in a model server fails" in complaint


def test_tables_and_variables_are_found_once_and_no_keras_object():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    holder = keras.layers.Layer()
    holder.inner = [layer]
    holder.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4]), 0
    )
    state = exported_state([holder, layer], layer.weights, "x").state
    assert len(state) == 3
    assert not any(isinstance(part, keras.Variable) for part in state)
    assert sum(isinstance(part, tf.Variable) for part in state) == 2
    assert any(part is holder.table for part in state)
