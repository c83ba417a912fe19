"""A toy ranker with a fusion, whole or broken in the ways that matter."""

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers import PersonalizedFusion
from tests.training.toy import DIM, NAMES, ToyRanker


class LeakyFusion(PersonalizedFusion):
    """One whose logits are not behind a stop_gradient."""

    def fuse(self, logits, weights):
        parts = ops.log_sigmoid(logits) * weights[:, None, :]
        return ops.sum(parts, axis=-1)


class FusionToy(ToyRanker):
    """`ToyRanker` with batch statistics, dropout and a fusion on top.

    Args:
        broken: what is wrong with it: "" nothing, "logits" and "session" a
            missing stop_gradient, "training" a fusion that reads the
            network as it is in training.
    """

    def __init__(self, broken="", **kwargs):
        self.broken = broken
        super().__init__(**kwargs)

    def build(self, input_shape=None):
        if self.built:
            return
        self.statistics = keras.layers.BatchNormalization(name="statistics")
        self.statistics.build((None, DIM))
        fusion = LeakyFusion if self.broken else PersonalizedFusion
        self.fusion = fusion(
            len(NAMES),
            units=(4,),
            stop_session_gradient=not self.broken,
            name="fusion",
        )
        self.fusion.build((None, None, len(NAMES)), (None, DIM))
        super().build()

    @property
    def fusion_variables(self):
        return self.fusion.variables

    @property
    def main_variables(self):
        ours = {id(variable) for variable in self.fusion_variables}
        return [v for v in self.variables if id(v) not in ours]

    def session(self, inputs, training):
        history = tf.gather(self.table.value, inputs["click_item_id"])
        pooled = tf.reduce_mean(history, axis=1)
        return self.statistics(pooled, training=training)

    def call(self, inputs, training=False):
        items = tf.gather(self.table.value, inputs["item_id"])
        user = self.session(inputs, training)[:, None]
        met = self.dropout(items * (user + 1), training=training)
        return {"logits": self.head(met)}

    def fusion_inputs(self, batch):
        training = self.broken == "training"
        logits = self(batch, training=training)["logits"]
        session = self.session(batch, training)
        if self.broken != "logits":
            logits = tf.stop_gradient(logits)
        if self.broken != "session":
            session = tf.stop_gradient(session)
        return logits, session
