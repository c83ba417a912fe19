"""A model server restores every variable, as Python's loader would not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.signatures import ServedRanker, exported_state
from jd_tf.serving.signature_names import SERVING_DEFAULT
from tests.serving.tiny_ranker import TinyRanker

INPUTS = {
    "click_item_id": np.array([[3, 4]]),
    "click_length": np.array([2], "int32"),
    "item_id": np.array([[5, 6, 7]]),
    "num_candidates": np.array([3], "int32"),
}


def test_a_server_restores_every_variable(tmp_path):
    keras.utils.set_random_seed(2)
    model = TinyRanker()
    served = ServedRanker(model)
    tf.saved_model.save(
        served.variables(), str(tmp_path), signatures=served.functions()
    )
    expected = served.answer(SERVING_DEFAULT, INPUTS)["score"]
    found = LoadedModel(tmp_path).call(SERVING_DEFAULT, INPUTS)["score"]
    np.testing.assert_allclose(found, expected, 1e-5)


def test_variables_that_a_server_does_not_restore_are_found(tmp_path):
    keras.utils.set_random_seed(2)
    model = TinyRanker()
    served = ServedRanker(model)
    # As Keras would export it: copies of the variables are restored.
    keras_objects = tf.Module()
    keras_objects.layers = model.layers
    tf.saved_model.save(
        keras_objects, str(tmp_path), signatures=served.functions()
    )
    # Python finds the variables by the objects that held them.
    tf.saved_model.load(str(tmp_path))
    with pytest.raises(ExportError, match=r"`serving_default` fails"):
        LoadedModel(tmp_path).call(SERVING_DEFAULT, INPUTS)


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
