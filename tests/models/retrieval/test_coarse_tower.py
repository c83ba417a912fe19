"""Two halves, one product: against NumPy, and out of a file."""

import keras
import numpy as np
import pytest

from jd_tf.models.retrieval.coarse_tower import CoarseConfig, CoarseTower
from jd_tf.schema import Role
from jd_tf.serving.batching import pad_requests
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
CONFIG = CoarseConfig.of(
    vector_dim=5,
    item_embedding_dim=4,
    feature_embedding_dim=3,
    context_embedding_dim=2,
    numeric_embedding_dim=0,
    hidden_units=6,
)


def batch(count=4):
    """Padded requests; lengths among the columns."""
    requests = random_requests(SCHEMA, count, seed=2)
    for request in requests:
        for behavior in SCHEMA.behaviors:
            name = f"{behavior.name}_item_id"
            request[behavior.length] = np.int32(len(request[name]))
        request["num_candidates"] = np.int32(len(request["item_id"]))
        for name, value in request.items():
            if name.endswith("tag_id"):
                rows = [list(v) + [0] * (3 - len(v)) for v in value]
                request[name] = np.array(rows, np.int64).reshape(-1, 3)
            elif isinstance(value, np.ndarray) and value.dtype == object:
                encoded = [v.encode() for v in value.tolist()]
                request[name] = np.array(encoded, object)
            else:
                request[name] = np.asarray(value)
    columns = SCHEMA.columns(Role.HISTORY, Role.CONTEXT, Role.CANDIDATE)
    return pad_requests(requests, columns)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = CoarseTower(SCHEMA, CONFIG)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def dense(layer, inputs):
    return inputs @ layer.kernel.numpy() + layer.bias.numpy()


def test_the_score_is_one_product(model):
    inputs = batch()
    scores = model(inputs).numpy()
    users = model.encode_user(inputs).numpy()
    items = model.encode_items(inputs).numpy()
    assert users.shape == (4, 6)
    for row in range(4):
        for place in range(inputs["item_id"].shape[1]):
            expected = users[row] @ items[row, place]
            assert scores[row, place] == pytest.approx(expected, abs=1e-5)


def test_the_user_half_pools_events_one_by_one(model):
    inputs = batch()
    found = model.encode_user(inputs).numpy()
    for row in range(4):
        parts = []
        for behavior in SCHEMA.behaviors:
            length = int(inputs[behavior.length][row])
            mean, recent = np.zeros(13), np.zeros(13)
            for place in range(length):
                event = np.concatenate(
                    [
                        table(
                            inputs[f"{behavior.name}_{name}"][
                                row : row + 1, place : place + 1
                            ]
                        ).numpy()[0, 0]
                        for name, table in model.tables.items()
                    ]
                )
                mean += event / length
                recent += event / (1 + place)
            parts += [mean, recent, [np.log1p(length)]]
        one = {n: v[row : row + 1] for n, v in inputs.items()}
        parts.append(model.context_encoder.of_request(one).numpy()[0])
        known = np.concatenate(parts)
        hidden = np.maximum(dense(model.user_hidden, known), 0)
        vector = dense(model.user_linear, known)
        vector += dense(model.user_output, hidden)
        np.testing.assert_allclose(found[row], [*vector, 1.0], rtol=1e-4)


def test_padding_beyond_lengths_changes_nothing(model):
    inputs = batch()
    expected = model.encode_user(inputs).numpy()
    wider = dict(inputs)
    for behavior in SCHEMA.behaviors:
        for name, values in inputs.items():
            if name.startswith(f"{behavior.name}_") and values.ndim > 1:
                widths = [(0, 0), (0, 3)] + [(0, 0)] * (values.ndim - 2)
                fill = b"b3" if values.dtype == object else 3
                wider[name] = np.pad(values, widths, constant_values=fill)
    np.testing.assert_allclose(
        model.encode_user(wider).numpy(), expected, rtol=1e-5, atol=1e-6
    )


def test_it_reads_no_more_than_it_says(model):
    inputs = batch()
    users = {name: inputs[name] for name in model.user_columns}
    items = {name: inputs[name] for name in model.item_columns}
    np.testing.assert_array_equal(
        model.encode_user(users), model.encode_user(inputs)
    )
    np.testing.assert_array_equal(
        model.encode_items(items), model.encode_items(inputs)
    )
    assert "request_time" not in model.user_columns


def test_it_comes_back_from_a_file(model, tmp_path):
    inputs = batch()
    model.save(tmp_path / "coarse.keras")
    loaded = keras.saving.load_model(tmp_path / "coarse.keras")
    assert loaded.config == CONFIG
    np.testing.assert_allclose(loaded(inputs), model(inputs), rtol=1e-6)
