"""A model and data small enough to train in a blink."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.registry import register_model
from jd_tf.schema import Behavior, IdColumn, Objective, Schema

NAMES = ("click", "order")
NUM_ITEMS, DIM, BATCH, STEPS_PER_EPOCH = 50, 4, 8, 20


def toy_schema(**changes) -> Schema:
    fields = {
        "name": "toy",
        "item_columns": (IdColumn("item_id", num_buckets=NUM_ITEMS),),
        "behaviors": (Behavior("click", max_length=5),),
        "objectives": tuple(Objective(name) for name in NAMES),
        "max_candidates": 4,
    }
    return Schema(**{**fields, **changes})


@dataclasses.dataclass(frozen=True)
class ToyConfig(RankerConfig):
    """One field, so that runs can differ in it."""

    dropout_rate: float = 0.2


@register_model("toy_ranker", ToyConfig)
class ToyRanker(keras.Model):
    """Dot products of pooled history and candidates, with dropout."""

    # Nothing to learn after the main training.
    fusion = calibration = pairs = trees = None
    fusion_variables = ()

    def __init__(self, schema=None, config=None, dropout_rate=0.2, **kwargs):
        config = config or ToyConfig(dropout_rate=dropout_rate)
        super().__init__(**{**kwargs, "autocast": False})
        schema = schema or toy_schema()
        if not isinstance(schema, Schema):
            schema = Schema.from_json(schema)
        self.schema = schema
        self.config = config
        self.dropout_rate = config.dropout_rate
        self.dropout = keras.layers.Dropout(dropout_rate, name="dropout")
        self.head = keras.layers.Dense(len(NAMES), name="head")
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        self.table = self.add_weight((NUM_ITEMS, DIM), name="table")
        self.head.build((None, None, DIM))
        self.built = True

    def call(self, inputs, training=False):
        history = tf.gather(self.table.value, inputs["click_item_id"])
        items = tf.gather(self.table.value, inputs["item_id"])
        user = tf.reduce_mean(history, axis=1, keepdims=True)
        met = self.dropout(items * (user + 1), training=training)
        return {"logits": self.head(met), "shared": met}

    def training_outputs(self, inputs):
        return self(inputs, training=True)

    def get_config(self):
        return {
            **super().get_config(),
            "schema": self.schema.to_json(),
            "dropout_rate": self.dropout_rate,
        }


def toy_batches(epoch=0, skip=0, steps=STEPS_PER_EPOCH, seed=5):
    """A pass over the data, the same at every call."""
    batches = []
    for step in range(skip, steps):
        random = np.random.default_rng([seed, epoch, step])
        items = random.integers(1, NUM_ITEMS, (BATCH, 4))
        history = random.integers(1, NUM_ITEMS, (BATCH, 5))
        liked = items % 5 / 5
        chance = np.stack([liked, liked * 0.3], axis=-1)
        labels = random.random(chance.shape) < chance
        batches.append(
            {
                "click_item_id": history,
                "click_event_time": np.zeros((BATCH, 5), "int64"),
                "request_time": np.zeros(BATCH, "int64"),
                "click_length": np.full(BATCH, 5, "int32"),
                "item_id": items,
                "num_candidates": random.integers(2, 5, BATCH).astype("int32"),
                "labels": labels.astype("float32"),
                "label_weights": np.ones(chance.shape, "float32"),
            }
        )
    if not batches:
        return toy_batches(0, 0, 1).take(0)
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([b[name] for b in batches]) for name in batches[0]}
    )
