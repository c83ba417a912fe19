"""Fits models on two logical devices; run by `test_devices.py`."""

import dataclasses
import json

import keras
import numpy as np
import tensorflow as tf

from jd_tf.losses import MultiObjectiveLoss, labels_and_weights
from jd_tf.models import PooledMMoE
from jd_tf.schema import SchemaError
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from tests.models.test_jd_ranker import batch_of
from tests.requests import random_requests, small_schema


def fitted(schema, strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = PooledMMoE(schema)
        model.compile(
            SparseDenseOptimizer(0.01, 0.01),
            loss={"logits": MultiObjectiveLoss()},
            jit_compile=False,
        )
    batch = batch_of(random_requests(schema, 8), schema)
    model.adapt([batch])
    # Both devices get the same requests.
    twice = {n: tf.tile(v, [2, *[1] * (v.ndim - 1)]) for n, v in batch.items()
             if n not in ("request_id", "user_id")}  # fmt: skip
    num = strategy.num_replicas_in_sync
    data = tf.data.Dataset.from_tensor_slices(twice).batch(8 * num)
    data = data.repeat(4 * num).map(labels_and_weights)
    losses = model.fit(data, verbose=0, epochs=2, shuffle=False)
    return model, losses.history["loss"]


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    texts = small_schema()
    columns = [c for c in texts.item_columns if c.dtype != "string"]
    schema = dataclasses.replace(texts, item_columns=tuple(columns))
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    both, losses = fitted(schema, mirrored)
    one, _ = fitted(schema, tf.distribute.get_strategy())
    gaps = [
        float(np.abs(keras.ops.convert_to_numpy(a) - b.numpy()).max())
        for a, b in zip(
            both.trainable_weights, one.trainable_weights, strict=True
        )
    ]
    try:
        fitted(texts, mirrored)
        refused = ""
    except SchemaError as error:
        refused = str(error)
    print(json.dumps({"losses": losses, "gap": max(gaps), "refused": refused}))


if __name__ == "__main__":
    main()
