"""The smallest ranker that can be exported, and faulty variants."""

import keras
import tensorflow as tf
from keras import ops

from jd_tf.schema import Behavior, IdColumn, Objective, Schema

SCHEMA = Schema(
    name="tiny",
    item_columns=(IdColumn("item_id", num_buckets=100),),
    behaviors=(Behavior("click", max_length=4),),
    objectives=(Objective("click"), Objective("order", value=9.0)),
    max_candidates=5,
)


class TinyRanker(keras.Model):
    """Candidates near the mean of what was clicked rank high."""

    registered_name = "tiny_ranker"
    reusable = True
    can_append = False

    def __init__(self, schema: Schema = SCHEMA):
        super().__init__()
        self.schema = schema
        self.embedding = keras.layers.Embedding(100, 4)
        self.tower = keras.layers.Dense(2)
        self.embedding.build()
        self.tower.build((None, None, 4))
        self.built = True

    def encode_user(self, inputs, training=False):
        events = self.embedding(inputs["click_item_id"] % 100)
        length = inputs["click_length"][:, None]
        mask = ops.cast(ops.arange(ops.shape(events)[1]) < length, "float32")
        total = ops.sum(events * mask[..., None], axis=1)
        return {"user_state_mean": total / (1 + ops.sum(mask, 1)[:, None])}

    def rank(self, user_state, request, candidates, training=False):
        items = self.embedding(candidates["item_id"] % 100)
        met = items * user_state["user_state_mean"][:, None, :]
        probabilities = ops.sigmoid(self.tower(met + items))
        values = ops.convert_to_tensor(self.schema.objective_values)
        return {
            "probabilities": probabilities,
            "score": ops.sum(probabilities * values, axis=-1),
        }

    def call(self, inputs, training=False):
        return self.rank(self.encode_user(inputs), inputs, inputs)

    def explain(self, inputs):
        ranked = self.call(inputs)
        return {"attention_click": ranked["score"][:, None, :, None]}


class PythonRanker(TinyRanker):
    """Calls Python, which a model server does not have."""

    def rank(self, user_state, request, candidates, training=False):
        ranked = super().rank(user_state, request, candidates)
        score = tf.py_function(lambda x: x, [ranked["score"]], tf.float32)
        return {**ranked, "score": tf.ensure_shape(score, (None, None))}


class SummingRanker(TinyRanker):
    """Treats 0 as padding, which a server's padding is not."""

    def encode_user(self, inputs, training=False):
        ids = inputs["click_item_id"]
        mask = ops.cast(ops.not_equal(ids, 0), "float32")
        events = self.embedding(ids % 100) * mask[..., None]
        return {"user_state_mean": ops.sum(events, axis=1)}


class MinglingRanker(TinyRanker):
    """Mixes the requests of a batch."""

    def encode_user(self, inputs, training=False):
        state = super().encode_user(inputs)["user_state_mean"]
        return {"user_state_mean": state + ops.mean(state, 0, keepdims=True)}


class HalvedRanker(TinyRanker):
    """Differs between `call` and `rank`."""

    def call(self, inputs, training=False):
        ranked = super().call(inputs)
        return {**ranked, "score": ranked["score"] + 1.0}


class BrokenRanker(TinyRanker):
    """Has a weight that is no number."""

    def __init__(self):
        super().__init__()
        self.tower.bias.assign([0.0, float("nan")])


class StatelessRanker(TinyRanker):
    """Returns a state without the prefix of its name."""

    def encode_user(self, inputs, training=False):
        return {"mean": super().encode_user(inputs)["user_state_mean"]}

    def rank(self, user_state, request, candidates, training=False):
        state = {"user_state_mean": user_state["mean"]}
        return super().rank(state, request, candidates)
