"""Forward passes of the zoo, as loops over single candidates in NumPy.

float64, one request, real events and candidates only, user and candidate
side by side: nothing is split, batched or masked. A function of a network
takes the model, its features `user` (Du,) and `candidate` (Dc,) and the
request, and returns conditional logits (T,).
"""

import numpy as np

from jd_tf.schema import SERVING_ROLES
from tests import interaction_references as references_of
from tests import numeric_references, references
from tests.interaction_references import first_layer, split_mlp
from tests.interaction_references import weights_of as weights
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
    """Returns what networks read: user (Du,) and candidates (N, Dc)."""
    schema, encoder = model.schema, model.item_encoder
    items, rows = _items(encoder, schema, request, "")
    means, ages, found = [], [], overlaps(model, request, rows)
    for behavior in schema.behaviors:
        name = f"{behavior.name}_"
        events, _ = _items(encoder, schema, request, name)
        none = np.zeros(items.shape[1])
        means.append(sum(events, none) / max(len(events), 1))
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
        for mean, overlap in zip(means, found, strict=True):
            products = [item * mean] if encoder.model_dim else []
            parts += [*products, overlap[place]]
        candidates.append(np.concatenate([*parts, numbers[place]]))
    return np.concatenate([*means, *context]), candidates


def overlaps(model, request, rows):
    """Returns for each history the overlaps of candidates with it."""
    value_weights = {
        int(place): np.exp(logs.numpy().astype(np.float64))
        for place, logs in model.id_overlap.log_value_weights.items()
    }
    found = []
    for behavior in model.schema.behaviors:
        _, events = _items(
            model.item_encoder, model.schema, request, f"{behavior.name}_"
        )
        no_weights = np.zeros((len(events), 0))
        values = model.schema.values_per_id
        found.append(
            [
                references.id_overlap(
                    row, events, no_weights, values, value_weights
                )
                for row in rows
            ]
        )
    return found


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


def towers(layer, inputs):
    """Logits of a `TaskTower` from a vector for each objective."""
    return stacked(layer.towers, inputs)[:, 0]


# Networks -------------------------------------------------------------------


def shared_bottom(model, user, candidate, request):
    (bottom,) = split_mlp(model.experts, candidate, user)
    return towers(model.towers, [bottom] * len(model.schema.objectives))


def pooled_mmoe(model, user, candidate, request):
    layer, w = model.experts, weights(model.experts)
    first = first_layer(w, candidate, user)
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


def ple(model, user, candidate, request):
    mixed = references_of.progressive_extraction(model.experts, candidate, user)
    return towers(model.towers, mixed)


def esmm(model, user, candidate, request):
    return towers(model.towers, split_mlp(model.experts, candidate, user))


def deep_fm(model, user, candidate, request):
    schema, machine = model.schema, model.machine
    ids, histories = len(schema.item_columns), len(schema.behaviors)
    # Means and an age of each history, and the context.
    count = histories * (ids + 1) + len(schema.context_columns)
    assert machine.num_candidate_fields == ids
    assert machine.num_user_fields == count
    second = references_of.factorization_machine(model.machine, candidate, user)
    (first,) = split_mlp(model.linear, candidate, user)
    (deep,) = split_mlp(model.deep, candidate, user)
    second = second @ weights(model.second_order)["kernel"]
    return first + second + deep @ weights(model.output_layer)["kernel"]


def dcn_v2(model, user, candidate, request):
    crossed = references_of.cross_network(model.cross, candidate, user)
    (deep,) = split_mlp(model.deep, candidate, user)
    return output(model, np.concatenate([crossed, deep]))


def mask_net(model, user, candidate, request):
    masked = [
        references_of.mask_block(block, candidate, user)
        for block in model.blocks
    ]
    deep = stacked(model.deep, [np.concatenate(masked)])[0]
    return output(model, relu(deep))


def final_mlp(model, user, candidate, request):
    x = np.concatenate([candidate, user])
    chosen = x * references_of.gate_unit(model.user_gate, user)
    split = [len(candidate)]
    (first,) = split_mlp(model.first, *np.split(chosen, split))
    chosen = x * references_of.gate_unit(model.candidate_gate, candidate)
    (second,) = stacked(model.second, [chosen])
    return references_of.bilinear_fusion(
        model.fusion_layer, first, relu(second)
    )


def pepnet(model, user, candidate, request):
    width = model.config.items.context_embedding_dim
    context = user[-model.context_encoder.output_dim :]
    scenario = context[:width]  # the first of the context columns
    gate = references_of.gate_unit(
        model.feature_gate, np.concatenate([scenario, user])
    )
    candidate = candidate * gate[: len(candidate)]
    user = user * gate[len(candidate) :]
    prior = np.concatenate([context, user])
    hidden = split_mlp(model.first, candidate, user)
    for layer_gate, layer in zip(model.layer_gates, model.deeper, strict=True):
        gates = references_of.gate_unit(layer_gate, prior)
        hidden = stacked(layer, hidden * np.reshape(gates, hidden.shape))
        if layer is not model.deeper[-1]:
            hidden = relu(hidden)
    return hidden[:, 0]


def star(model, user, candidate, request):
    known = model.schema.context_columns[0].vocabulary
    scenario = 1 + known.index(request["scenario"])
    context = user[-model.context_encoder.output_dim :]
    user, candidate = (
        references_of.partitioned_normalization(norm, features, scenario)
        for norm, features in (
            (model.user_norm, user),
            (model.candidate_norm, candidate),
        )
    )
    (auxiliary,) = split_mlp(model.auxiliary, candidate, context)
    own = references_of.star_mlp(model.networks, candidate, user, scenario)
    return own + auxiliary


def output(model, hidden):
    return references.dense(
        hidden,
        {
            f"output/{name}": value
            for name, value in weights(model.output_layer).items()
        },
        "output",
    )


def stacked(layer, inputs):
    """Outputs of a `StackedMLP` before the last activation, one a slice."""
    w, found = weights(layer), []
    for number, x in enumerate(inputs):
        layers = [
            (w[f"kernel_{i}"][number], w[f"bias_{i}"][number, 0])
            for i in range(len(layer.units))
        ]
        found.append(references.mlp(x, layers, relu))
    return np.array(found)
