"""The ranker's network the usual way: plain Keras, one row an impression.

The baseline of bench_training. Every user is written, read and encoded
once for each impression; the network is built of Keras' own layers with the
widths of `JDRanker`'s, and trained by `compile` and `fit` with Adam. Nothing
of `jd_tf` is used.

To its advantage, ids come as rows of the table and ages as buckets, so there
is nothing to hash or take the logarithm of, and the data set is parsed once
and then kept in memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

NUM_AGE_BUCKETS = 64
_SECONDS_OF_TWO_YEARS = 2 * 365 * 24 * 3600.0
_MASKED = -1e9


class TokensInTime(layers.Layer):
    """Adds position and age embeddings, as Keras' own examples do."""

    def __init__(self, max_length: int, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length
        self.positions = layers.Embedding(max_length, dim)
        self.ages = layers.Embedding(NUM_AGE_BUCKETS, dim)

    def build(self, tokens_shape: Any, age_bucket_shape: Any) -> None:
        """Builds both tables."""
        self.positions.build((self.max_length,))
        self.ages.build(age_bucket_shape)

    def call(self, tokens: Any, age_bucket: Any) -> Any:
        """(B, L, D) tokens and (B, L) buckets to (B, L, D)."""
        positions = self.positions(ops.arange(self.max_length))
        return tokens + positions + self.ages(age_bucket)


def build_baseline(
    num_rows: int,
    embedding_dim: int,
    max_length: int,
    model_dim: int,
    num_heads: int,
    feedforward_dim: int,
    num_experts: int,
    expert_units: tuple[int, ...],
    tower_units: tuple[int, ...],
    objectives: tuple[str, ...],
) -> keras.Model:
    """Builds and compiles the network.

    An output each of `objectives`; the other arguments are sizes, as in the
    ranker's config.

    Returns:
        A compiled functional model of one row an impression.
    """
    history = keras.Input((max_length,), dtype="int32", name="history")
    age = keras.Input((max_length,), dtype="int32", name="age_bucket")
    length = keras.Input((), dtype="int32", name="length")
    item = keras.Input((1,), dtype="int32", name="item_id")
    mask = ops.less(ops.arange(max_length)[None, :], length[:, None])
    real = ops.cast(mask, "float32")

    table = layers.Embedding(num_rows, embedding_dim, name="item_table")
    projection = layers.Dense(model_dim, name="projection")
    tokens = projection(table(history))
    tokens = TokensInTime(max_length, model_dim)(tokens, age)
    candidate = projection(table(item))

    # Encoder: one pre-norm block.
    head_dim = model_dim // num_heads
    attend = layers.MultiHeadAttention(num_heads, head_dim, name="attend")
    normed = layers.LayerNormalization(epsilon=1e-6, name="norm_1")(tokens)
    tokens = tokens + attend(normed, normed, attention_mask=mask[:, None, :])
    normed = layers.LayerNormalization(epsilon=1e-6, name="norm_2")(tokens)
    inner = layers.Dense(feedforward_dim, activation="gelu", name="inner")
    tokens = tokens + layers.Dense(model_dim, name="outer")(inner(normed))
    memory = layers.LayerNormalization(epsilon=1e-6, name="norm_3")(tokens)
    memory = memory * real[..., None]

    # Interests of first and second order.
    pool = layers.Dense(model_dim, activation="tanh", name="pool")
    score = layers.Dense(1, use_bias=False, name="pool_query")
    scores = score(pool(memory))[..., 0]
    weights = ops.softmax(ops.where(mask, scores, _MASKED), axis=-1)
    first = ops.sum(memory * weights[..., None], axis=1)
    total = ops.sum(memory, axis=1)
    squares = ops.sum(ops.square(memory), axis=1)
    count = ops.sum(real, axis=1, keepdims=True)
    pairs = ops.maximum(count * (count - 1.0), 1.0)
    second = (ops.square(total) - squares) / pairs

    # The candidate reads the memory.
    target = layers.MultiHeadAttention(num_heads, head_dim, name="target")
    query = layers.LayerNormalization(epsilon=1e-6, name="norm_4")(candidate)
    read = target(query, memory, attention_mask=mask[:, None, :])[:, 0]
    candidate = candidate[:, 0]
    features = layers.Concatenate()(
        [candidate, read, candidate * first, first, second]
    )

    # Experts, gates, towers.
    experts = []
    for expert in range(num_experts):
        hidden = features
        for depth, units in enumerate(expert_units):
            name = f"expert_{expert}_{depth}"
            hidden = layers.Dense(units, "relu", name=name)(hidden)
        experts.append(hidden)
    experts = ops.stack(experts, axis=1)
    outputs = {}
    for name in objectives:
        gate = layers.Dense(num_experts, "softmax", name=f"gate_{name}")
        hidden = ops.sum(gate(features)[..., None] * experts, axis=1)
        for depth, units in enumerate(tower_units):
            tower = layers.Dense(units, "relu", name=f"{name}_{depth}")
            hidden = tower(hidden)
        outputs[name] = layers.Dense(1, activation="sigmoid", name=name)(hidden)
    inputs = [history, age, length, item]
    model = keras.Model({i.name: i for i in inputs}, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss={name: "binary_crossentropy" for name in objectives},
    )
    return model


def tile(request: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """Turns a request into one row an impression, the user in each."""
    scale = (NUM_AGE_BUCKETS - 1) / np.log1p(_SECONDS_OF_TWO_YEARS)
    history = request["click_item_id"]
    times = request["click_event_time"]
    ages = np.minimum(times[0] - times, _SECONDS_OF_TWO_YEARS)
    user = {
        "history": history,
        "age_bucket": (np.log1p(ages) * scale).astype("int64"),
        "length": np.array([len(history)]),
    }
    for item, labels in zip(request["item_id"], request["labels"], strict=True):
        yield {**user, "item_id": np.array([item]), "labels": labels}


def write_rows(path: str | Path, requests: Iterable[Mapping[str, Any]]) -> None:
    """Writes one record an impression of requests, as for `tile`."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            for row in tile(request):
                example = tf.train.Example()
                feature = example.features.feature
                for name, values in row.items():
                    if values.dtype.kind == "f":
                        feature[name].float_list.value.extend(values.tolist())
                    else:
                        feature[name].int64_list.value.extend(values.tolist())
                writer.write(example.SerializeToString())


def read_rows(
    path: str | Path,
    batch_size: int,
    max_length: int,
    objectives: tuple[str, ...],
) -> tf.data.Dataset:
    """Returns batches for `fit`, endlessly, from memory after one pass.

    Histories must all have `max_length` events; `objectives` are the names
    of the labels, in order.
    """
    fixed = tf.io.FixedLenFeature
    features = {
        "history": fixed((max_length,), tf.int64),
        "age_bucket": fixed((max_length,), tf.int64),
        "length": fixed((), tf.int64),
        "item_id": fixed((1,), tf.int64),
        "labels": fixed((len(objectives),), tf.float32),
    }

    def parse(records: tf.Tensor) -> tuple:
        row = tf.io.parse_example(records, features)
        labels = row.pop("labels")
        inputs = {name: tf.cast(t, tf.int32) for name, t in row.items()}
        targets = {
            name: labels[:, index : index + 1]
            for index, name in enumerate(objectives)
        }
        return inputs, targets

    return (
        tf.data.TFRecordDataset(str(path))
        .batch(batch_size, drop_remainder=True)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .cache()
        .repeat()
        .prefetch(tf.data.AUTOTUNE)
    )
