"""JDRanker: two halves of one computation, and its invariants."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import parse_requests
from jd_tf.data.records import encode_request
from jd_tf.data.validation import RequestValidator
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import (
    SERVING_ROLES,
    IdColumn,
    Objective,
    ScenarioValues,
)
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
CONFIG = JDRankerConfig.of(
    model_dim=16,
    item_embedding_dim=8,
    feature_embedding_dim=4,
    context_embedding_dim=4,
    num_heads=2,
    feedforward_dim=16,
    num_experts=3,
    expert_units=(12, 8),
    tower_units=(6,),
    bias_units=(4,),
)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def batch_of(requests, schema=SCHEMA):
    validator = RequestValidator(schema)
    columns = schema.columns()
    records = [encode_request(validator.check(r), columns) for r in requests]
    return parse_requests(tf.constant(records), columns)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return moved(JDRanker(SCHEMA, CONFIG))


def moved(model):
    """Weights as after training: no zero left that could hide an error."""
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        noise = generator.normal(0, 0.3, weight.shape)
        weight.assign(weight + noise.astype("float32"))
    return model


@pytest.fixture(scope="module")
def batch():
    requests = random_requests(SCHEMA, 9)
    lengths = [len(r["click_item_id"]) for r in requests]
    empty = {
        c.name: requests[0][c.name][:0]
        for c in SCHEMA.columns()
        if c.length == "click_length"
    }
    assert max(lengths) > 5
    bare = {
        c.name: requests[1][c.name][:0]
        for c in SCHEMA.columns()
        if c.length == "order_length"
    }
    first = [{**requests[0], **empty}, {**requests[1], **bare}]
    return batch_of([*first, *requests[2:]])


def real(batch):
    width = batch["item_id"].shape[1]
    return np.arange(width) < batch["num_candidates"].numpy()[:, None]


def assert_same(one, other, mask):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_allclose(
            one[name].numpy()[mask], other[name].numpy()[mask], **TOLERANCE
        )


def test_call_is_encode_user_then_rank(model, batch):
    whole = model(batch)
    halves = model.rank(model.encode_user(batch), batch, batch)
    assert_same(whole, halves, np.full(whole["score"].shape, True))


def test_the_user_half_reads_no_candidate(model, batch):
    user_columns = {
        c.name: batch[c.name]
        for c in SCHEMA.columns(*SERVING_ROLES)
        if not c.axes.startswith("BN") and c.name != "num_candidates"
    }
    model.encode_user(user_columns)


def test_the_user_is_encoded_once_whatever_the_candidates(model, batch):
    """Counts multiplications: the user's part may not grow with N."""

    def flops(width):
        wide = {
            c.name: tf.repeat(batch[c.name][:, :1], width, axis=1)
            if c.axes.startswith("BN")
            else batch[c.name]
            for c in SCHEMA.columns(*SERVING_ROLES)
        }
        specs = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in wide.items()}
        graph = (
            tf.function(lambda b: model(b)["score"])
            .get_concrete_function(specs)
            .graph
        )
        meta = tf.compat.v1.RunMetadata()
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(
            graph, meta, cmd="op", options=options
        ).total_float_ops

    one, two, three = flops(10), flops(20), flops(30)
    assert three - two == pytest.approx(two - one, rel=0.01)
    user = one - (two - one)
    assert user > 3 * (two - one) / 10


def test_longer_padding_changes_nothing(model, batch):
    def pad(column, tensor):
        if not column.ragged:
            return tensor
        fill = "b9" if column.dtype == "string" else 3
        shape = tf.shape(tensor)
        extra = tf.fill(
            tf.concat([[shape[0], 4], shape[2:]], 0),
            tf.cast(fill, tensor.dtype) if fill == 3 else fill,
        )
        width = tf.sequence_mask(batch[column.length], shape[1])
        width = tf.reshape(width, tf.concat([shape[:2], shape[2:] * 0 + 1], 0))
        # Not zeros: a server pads with whatever comes first.
        spoilt = tf.where(width, tensor, extra[:, :1])
        return tf.concat([spoilt, extra], 1)

    padded = {
        c.name: pad(c, batch[c.name]) for c in SCHEMA.columns(*SERVING_ROLES)
    }
    width = batch["item_id"].shape[1]
    longer = {k: v[:, :width] for k, v in model(padded).items()}
    assert_same(model(batch), longer, real(batch))


def test_candidates_permute(model, batch):
    width = batch["item_id"].shape[1]
    order = np.random.default_rng(0).permutation(width)
    permuted = {
        c.name: tf.gather(batch[c.name], order, axis=1)
        if c.axes.startswith("BN")
        else batch[c.name]
        for c in SCHEMA.columns(*SERVING_ROLES)
    }
    expected = {k: tf.gather(v, order, axis=1) for k, v in model(batch).items()}
    mask = np.full(expected["score"].shape, True)
    assert_same(expected, model(permuted), mask)


def test_requests_do_not_see_each_other(model, batch):
    alone = {k: v[2:3] for k, v in batch.items()}
    whole = {k: v[2:3] for k, v in model(batch).items()}
    assert_same(model(alone), whole, real(alone))


def test_unknown_ids_match_nothing(model):
    """Two categories nobody has heard of need not be the same one."""
    rows = model.item_encoder.rows(
        [
            np.array([[5, 5]]),
            np.array([[77, 3]]),
            np.array([["b1", ""]]),
            np.array([[[8, 9, 0], [9, 0, 0]]]),
        ]
    ).numpy()
    assert rows.shape == (1, 2, 6)
    assert rows[0, 0, 0] == rows[0, 1, 0] > 0
    assert rows[0, 0, 1] == 0 < rows[0, 1, 1]
    assert rows[0, 1, 2] == 0 < rows[0, 0, 2]
    assert rows[0, 0, 4] == rows[0, 1, 3] > 0 == rows[0, 1, 4]


def test_order_never_beats_click(model, batch):
    probabilities = model(batch)["probabilities"].numpy()
    assert (probabilities[..., 1:] <= probabilities[..., :1]).all()


def test_score_is_the_expected_business_value(model, batch):
    out = model(batch)
    values = np.array(SCHEMA.objective_values)
    expected = (out["probabilities"].numpy() * values).sum(-1)
    np.testing.assert_allclose(out["score"], expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "string"])
def test_score_takes_the_values_of_the_scenario(dtype):
    names = (1, 2, 3) if dtype == "int64" else ("b1", "b2", "b3")
    context = (IdColumn("scenario", dtype=dtype, vocabulary=names),)
    own = (1.0, 0.0, 7.0)
    schema = small_schema(
        context_columns=context,
        scenario_column="scenario",
        scenario_values=(ScenarioValues(names[1], own),),
    )
    batch = batch_of(random_requests(schema, 30, seed=4), schema)
    ranker = JDRanker(schema, CONFIG)
    state = ranker.encode_user(batch)
    ranked = ranker.rank(state, batch, batch)
    there = batch["scenario"].numpy() == names[1]
    if dtype == "string":
        there = batch["scenario"].numpy() == b"b2"
    assert 0 < there.sum() < len(there)
    worth = np.where(there[:, None], own, schema.objective_values)
    expected = (ranked["probabilities"].numpy() * worth[:, None]).sum(axis=-1)
    np.testing.assert_allclose(ranked["score"], expected, rtol=1e-5)


def test_position_counts_in_training_only(model, batch):
    other = {**batch, "position": (batch["position"] + 1) % 10}
    mask = real(batch)
    assert_same(model(batch), model(other), mask)
    one = model(batch, training=True)["logits"].numpy()[mask]
    two = model(other, training=True)["logits"].numpy()[mask]
    assert not np.allclose(one, two)


def test_position_explains_no_overall_rate(batch):
    """The bias left out in serving keeps the expected number of outcomes."""
    model = moved(JDRanker(SCHEMA, CONFIG))
    # Outcomes are rare, and good items stand in good places.
    rare = tf.random.stateless_uniform((*batch["item_id"].shape, 3), (1, 2))
    rare = (
        2 * rare - 7 - 0.5 * tf.cast(batch["position"], tf.float32)[..., None]
    )
    mask = real(batch)
    bias = model.position_bias(batch, rare)
    assert (np.ptp(bias.numpy()[mask], axis=0) > 0.01).all()
    expected = [
        tf.sigmoid(model.entire_space(logits)).numpy()[mask].sum(axis=0)
        for logits in (rare, rare + bias)
    ]
    np.testing.assert_allclose(expected[1], expected[0], rtol=0.02)


def test_served_columns_are_enough(model, batch):
    served = {c.name: batch[c.name] for c in SCHEMA.columns(*SERVING_ROLES)}
    assert_same(model(batch), model(served), real(batch))


def test_attention_is_inspectable(model, batch):
    explained = model.explain(batch)
    for behavior in SCHEMA.behaviors:
        weights = explained[f"attention_{behavior.name}"].numpy()
        lengths = batch[behavior.length].numpy()
        assert weights.shape[1] == CONFIG.sequence.num_heads
        total = np.broadcast_to((lengths > 0)[:, None, None], weights.shape[:3])
        np.testing.assert_allclose(weights.sum(-1), total, atol=1e-5)
    gates = explained["gate_weights"].numpy()
    assert gates.shape[2:] == (3, CONFIG.head.num_experts)
    np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-5)


def test_every_weight_learns_and_tables_stay_sparse(model, batch):
    with tf.GradientTape() as tape:
        logits = model(batch, training=True)["logits"]
        loss = tf.reduce_sum(logits * tf.cos(logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(
        model.trainable_variables, gradients, strict=True
    ):
        assert gradient is not None, variable.path
        if variable.name == "table":
            assert isinstance(gradient, tf.IndexedSlices), variable.path
        else:
            assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, (
                variable.path
            )


def test_keras_file_round_trip(model, batch, tmp_path):
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.schema == SCHEMA
    assert loaded.config == CONFIG
    assert_same(model(batch), loaded(batch), real(batch))


def test_all_weights_exist_before_the_first_call():
    fresh = JDRanker(SCHEMA, CONFIG)
    before = [weight.path for weight in fresh.weights]
    fresh(batch_of(random_requests(SCHEMA, 2)), training=True)
    assert [weight.path for weight in fresh.weights] == before
    assert len(set(before)) == len(before)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_position": False},
        {"use_position": False, "use_recency": False},
        {"use_second_order": False},
        {"use_overlap": False},
        {"numeric_embedding_dim": 3},
        {"use_item_dense": False},
        {"decoder_feedforward_dim": 8},
        {"num_encoder_layers": 2, "dropout_rate": 0.1},
    ],
)
def test_switches(changes, batch):
    config = replace_fields(CONFIG, changes)
    out = JDRanker(SCHEMA, config)(batch, training=True)
    assert np.isfinite(out["logits"].numpy()[real(batch)]).all()


def test_a_bare_schema_is_enough():
    """No context, no dense features, no bias: as some logs are."""
    schema = small_schema(
        behaviors=[
            dataclasses.replace(behavior, item_dense=())
            for behavior in SCHEMA.behaviors
        ],
        context_columns=(),
        session_dense=(),
        item_dense=(),
        bias_columns=(),
        objectives=(Objective("click"),),
    )
    batch = batch_of(random_requests(schema, 3), schema)
    out = JDRanker(schema, CONFIG)(batch, training=True)
    assert out["logits"].shape[2] == 1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_finite(policy, batch):
    """Ages of months and prices of millions must not overflow."""
    big = {
        k: v * 1e6 if k.endswith(("_seconds", "_dense")) else v
        for k, v in batch.items()
    }
    for behavior in SCHEMA.behaviors:
        big[f"{behavior.name}_event_time"] //= 2
    out = JDRanker(SCHEMA, CONFIG, dtype=policy)(big)
    assert out["logits"].dtype == tf.float32
    assert np.isfinite(out["logits"].numpy()[real(batch)]).all()


@pytest.mark.parametrize(
    ("switch", "column"),
    [
        ("use_dwell", "click_dwell_seconds"),
        ("use_action_counts", "click_action_counts"),
        ("use_action_ids", "click_action_ids"),
        ("use_item_dense", "order_item_dense"),
    ],
)
def test_fine_grained_columns_count_where_they_are_on(batch, switch, column):
    other = {**batch, column: tf.zeros_like(batch[column])}
    mask = real(batch)
    on = moved(JDRanker(SCHEMA, CONFIG))
    assert not np.allclose(
        on(batch)["logits"].numpy()[mask], on(other)["logits"].numpy()[mask]
    )
    off = moved(JDRanker(SCHEMA, replace_fields(CONFIG, {switch: False})))
    assert_same(off(batch), off(other), mask)


def test_one_switch_turns_all_of_them_off(batch):
    one = JDRanker(SCHEMA, replace_fields(CONFIG, {"use_fine_grained": False}))
    assert all(not reader.event_details for reader in one.readers)
    assert all(JDRanker(SCHEMA, CONFIG).readers[0].event_details)
    zeros = {
        f"click_{name}": tf.zeros_like(batch[f"click_{name}"])
        for name in ("dwell_seconds", "action_counts", "action_ids")
    }
    assert_same(moved(one)(batch), one({**batch, **zeros}), real(batch))


def test_ranks_without_any_event_details(batch):
    switches = ("position", "recency", "dwell", "action_counts", "action_ids")
    off = {f"use_{name}": False for name in switches}
    model = moved(JDRanker(SCHEMA, replace_fields(CONFIG, off)))
    counted = model.encode_user(batch)["user_state_click_overlap_weights"]
    assert counted.shape[-1] == 2
    assert np.isfinite(model(batch)["logits"].numpy()[real(batch)]).all()
