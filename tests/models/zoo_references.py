"""Forward passes of the zoo, as loops over single candidates in NumPy.

float64, one request, real events and candidates only, user and candidate
side by side: nothing is split, batched or masked. A function of a network
takes the model, its features `user` (Du,) and `candidate` (Dc,) and the
request, and returns conditional logits (T,).
"""

import numpy as np

from jd_tf.schema import SERVING_ROLES
from tests import numeric_references, references
from tests.references import relu, softmax


def one_request(batch, schema, number):
    """Columns of one request without padding, as NumPy arrays."""
    request = {}
    for column in schema.columns(*SERVING_ROLES):
        values = np.asarray(batch[column.name])[number]
        if column.ragged:
            values = values[: int(batch[column.length][number])]
        request[column.name] = values
    return request


def weights(layer):
    """NumPy weights by their path below the layer."""
    found = {}
    for weight in layer.weights:
        parts = weight.path.split("/")
        parts = parts[parts.index(layer.name) + 1 :]
        found["/".join(parts)] = weight.numpy().astype(np.float64)
    return found


def of_features(network):
    """The oracle of a model on the features of `PooledRanker`."""

    def probabilities(model, request):
        user, candidates = pooled_features(model, request)
        given = model.schema.given_indices
        return np.array(
            [
                references.entire_space_probabilities(
                    network(model, user, candidate, request), given
                )
                for candidate in candidates
            ]
        )

    return probabilities


def pooled_features(model, request):
    """What networks read: user (Du,) and candidates (N, Dc)."""
    schema, encoder = model.schema, model.item_encoder
    items, rows = _items(encoder, schema, request, "")
    value_weights = {
        int(place): np.exp(logs.numpy().astype(np.float64))
        for place, logs in model.id_overlap.log_value_weights.items()
    }
    means, overlaps, ages = [], [], []
    for behavior in schema.behaviors:
        name = f"{behavior.name}_"
        events, event_rows = _items(encoder, schema, request, name)
        none = np.zeros(items.shape[1])
        means.append(sum(events, none) / max(len(events), 1))
        overlaps.append(
            [
                references.id_overlap(
                    row,
                    event_rows,
                    np.zeros((len(events), 0)),
                    schema.values_per_id,
                    value_weights,
                )
                for row in rows
            ]
        )
        times = request[f"{name}event_time"]
        now = int(request["request_time"])
        ages.append(now - int(times[0]) if len(times) else -1)
    context = _context(model.context_encoder, schema, request, ages)
    dense = model.item_normalization
    numbers = [
        numeric_references.feature_normalization(
            row, dense.linear, weights(dense), dense.max_value
        )
        for row in request["item_dense"]
    ]
    candidates = []
    for place, item in enumerate(items):
        parts = [item]
        for mean, overlap in zip(means, overlaps, strict=True):
            products = [item * mean] if encoder.model_dim else []
            parts += [*products, overlap[place]]
        candidates.append(np.concatenate([*parts, numbers[place]]))
    return np.concatenate([*means, *context]), candidates


def _items(encoder, schema, request, prefix):
    """Vectors and table rows of candidates, or of a behaviour's events."""
    columns, rows = [], []
    for column in schema.item_columns:
        table = encoder.tables[column.name]
        found = table.rows(request[f"{prefix}{column.name}"]).numpy()
        vectors = weights(table)["table"]
        columns.append(
            [
                references.pooled(vectors, row, column.pooling)
                if column.multi_valued
                else vectors[row] * (row > 0)
                for row in found
            ]
        )
        rows.append(found.reshape(len(found), column.max_values))
        if table.vocabulary:  # ids nobody knows are not the same one
            rows[-1] = np.where(rows[-1] == 1, 0, rows[-1])
    vectors = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    if encoder.model_dim:
        projection = weights(encoder)
        vectors = [
            references.dense(v, projection, "projection") for v in vectors
        ]
    width = encoder.output_dim
    return np.reshape(vectors, (-1, width)), np.concatenate(rows, axis=1)


def _context(encoder, schema, request, ages):
    parts = []
    for table, column in zip(
        encoder.tables, schema.context_columns, strict=True
    ):
        row = int(table.rows(request[column.name]))
        parts.append(weights(table)["table"][row] * (row > 0))
    recency = weights(encoder.recency)
    for place, age in enumerate(ages):
        parts.append(
            references.log_bucket_vector(
                float(age),
                recency["log_scale"][place],
                recency["bucket_table"][place],
                encoder.recency.max_value,
            )
        )
    numbers = encoder.normalization
    parts.append(
        numeric_references.feature_normalization(
            request["session_dense"],
            numbers.linear,
            weights(numbers),
            numbers.max_value,
        )
    )
    return parts


def first_layer(w, user, candidate):
    """The halves of a first dense layer, as the one layer they are."""
    kernel = np.concatenate([w["user_half/kernel"], w["candidate_half/kernel"]])
    found = np.concatenate([user, candidate]) @ kernel
    return found + w.get("user_half/bias", 0.0)


def split_mlp(layer, user, candidate, last=lambda x: x):
    """Outputs (S, D) of the networks of a `SplitMLP`."""
    w = weights(layer)
    firsts = np.split(first_layer(w, user, candidate), layer.num_networks)
    outputs = []
    for number, hidden in enumerate(firsts):
        for index in range(len(layer.units) - 1):
            kernel = w[f"deeper/kernel_{index}"][number]
            bias = w[f"deeper/bias_{index}"][number, 0]
            hidden = relu(hidden) @ kernel + bias
        outputs.append(last(hidden))
    return np.array(outputs)


def towers(layer, inputs):
    """Logits of a `TaskTower` from a vector for each objective."""
    w, logits = weights(layer), []
    for number, hidden in enumerate(inputs):
        layers = [
            (w[f"towers/kernel_{i}"][number], w[f"towers/bias_{i}"][number, 0])
            for i in range(len(layer.units) + 1)
        ]
        logits.append(references.mlp(hidden, layers, relu)[0])
    return np.array(logits)


# Networks -------------------------------------------------------------------


def shared_bottom(model, user, candidate, request):
    (bottom,) = split_mlp(model.experts, user, candidate, relu)
    return towers(model.towers, [bottom] * len(model.schema.objectives))


def pooled_mmoe(model, user, candidate, request):
    layer, w = model.experts, weights(model.experts)
    first = first_layer(w, user, candidate)
    width, number = layer.expert_units[0], layer.num_experts
    experts = np.split(first[: width * number], number)
    for index in range(len(layer.expert_units) - 1):
        kernels, biases = w[f"deeper/kernel_{index}"], w[f"deeper/bias_{index}"]
        experts = [
            relu(x) @ kernels[e] + biases[e, 0] for e, x in enumerate(experts)
        ]
    gates = np.split(first[width * number :], layer.num_tasks)
    mixed = [
        sum(
            share * relu(expert)
            for share, expert in zip(softmax(gate), experts, strict=True)
        )
        for gate in gates
    ]
    return towers(model.towers, mixed)


def deep_fm(model, user, candidate, request):
    width = model.config.items.embedding_dim
    vectors = weights(model.machine)
    fields = []
    for name, features, count in (
        ("candidate", candidate, model.machine.num_candidate_fields),
        ("user", user, model.machine.num_user_fields),
    ):
        fields += np.split(features[: count * width], count)
        numbers = features[count * width :]
        fields += list(numbers[:, None] * vectors[f"{name}_vectors"])
    second = np.zeros(width)
    for i in range(len(fields)):
        for j in range(i):
            second += fields[i] * fields[j]
    (first,) = split_mlp(model.linear, user, candidate)
    (deep,) = split_mlp(model.deep, user, candidate, relu)
    second = second @ weights(model.second_order)["kernel"]
    return first + second + deep @ weights(model.output_layer)["kernel"]
