"""Expected outputs of the zoo's layers, for one candidate in NumPy.

float64; user and candidate are one vector, x = [candidate, user]: nothing is
split or batched. Each function takes the layer and the features of one
candidate and one user.
"""

import numpy as np

from tests.references import dense, gelu, layer_norm, relu, softmax


def weights_of(layer):
    """NumPy weights by their path below the layer."""
    found = {}
    for weight in layer.weights:
        parts = weight.path.split("/")
        # The last: a part may have the name of the whole.
        place = max(i for i, part in enumerate(parts) if part == layer.name)
        found["/".join(parts[place + 1 :])] = weight.numpy().astype(np.float64)
    return found


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def first_layer(w, candidate, user):
    """The halves of a first dense layer, as the one layer they are."""
    kernel = np.concatenate([w["candidate_half/kernel"], w["user_half/kernel"]])
    return np.concatenate([candidate, user]) @ kernel + w["user_half/bias"]


def split_mlp(layer, candidate, user):
    """The networks' outputs (S, D)."""
    activation = {"relu": relu, "gelu": gelu}[layer.activation.__name__]
    last = relu if layer.last_activation.__name__ == "relu" else lambda x: x
    w, outputs = weights_of(layer), []
    firsts = np.split(first_layer(w, candidate, user), layer.num_networks)
    for number, hidden in enumerate(firsts):
        for index in range(len(layer.units) - 1):
            kernel = w[f"deeper/kernel_{index}"][number]
            bias = w[f"deeper/bias_{index}"][number, 0]
            hidden = activation(hidden) @ kernel + bias
        outputs.append(last(hidden))
    return np.array(outputs)


def factorization_machine(layer, candidate, user):
    """All pairs of fields, one after the other."""
    w, fields = weights_of(layer), []
    for name, features, count in (
        ("candidate", candidate, layer.num_candidate_fields),
        ("user", user, layer.num_user_fields),
    ):
        ids, numbers = np.split(features, [count * layer.dim])
        fields += list(np.reshape(ids, (count, layer.dim)))
        fields += [
            number * vector
            for number, vector in zip(
                numbers, w[f"{name}_vectors"], strict=True
            )
        ]
    total = np.zeros(layer.dim)
    for i in range(len(fields)):
        for j in range(i):
            total += fields[i] * fields[j]
    return total


def cross_network(layer, candidate, user):
    """Layer by layer, with whole matrices."""
    w = weights_of(layer)
    start = x = np.concatenate([candidate, user])
    for index in range(layer.num_layers):
        product = first_layer(w, candidate, user)
        if index:
            product = dense(x, w, f"product_{index}")
        if layer.rank:
            product = dense(product, w, f"expansion_{index}")
        x = start * product + x
    return x


def mask_block(layer, candidate, user):
    w = weights_of(layer)
    mask = dense(relu(first_layer(w, candidate, user)), w, "mask")
    normalized = [
        layer_norm(candidate, w, "candidate_norm"),
        layer_norm(user, w, "user_norm"),
    ]
    masked = mask * np.concatenate(normalized)
    return relu(layer_norm(masked @ w["hidden/kernel"], w, "output_norm"))


def bilinear_fusion(layer, first, second):
    """The bilinear form as a sum over pairs of entries."""
    w, heads = weights_of(layer), layer.num_heads
    logits = dense(first, w, "first_part") + dense(second, w, "second_part")
    x, y = np.reshape(first, (heads, -1)), np.reshape(second, (heads, -1))
    form = np.reshape(
        w["bilinear"], (heads, x.shape[1], len(logits), y.shape[1])
    )
    for h, i, t, j in np.ndindex(form.shape):
        logits[t] += x[h, i] * form[h, i, t, j] * y[h, j]
    return logits


def gate_unit(layer, inputs):
    w = weights_of(layer)
    hidden = relu(dense(inputs, w, "hidden"))
    return layer.scale * sigmoid(dense(hidden, w, "gates"))


def progressive_extraction(layer, candidate, user):
    """Every expert and gate by name: ("shared", k) or (objective, k)."""
    w, first = weights_of(layer), layer.level_units[0]
    owners = [*range(layer.num_tasks), "shared"]
    experts = [
        (owner, number)
        for owner in owners
        for number in range(
            layer.num_shared_experts
            if owner == "shared"
            else layer.num_task_experts
        )
    ]

    def read_by(owner):
        wanted = owners if owner == "shared" else (owner, "shared")
        return [expert for expert in experts if expert[0] in wanted]

    product, streams = list(first_layer(w, candidate, user)), {}
    for level, units in enumerate(layer.level_units):
        opinions, scores = {}, {}
        last = level == len(layer.level_units) - 1
        readers = owners[:-1] if last else owners
        for place, expert in enumerate(experts):
            if level == 0:
                opinions[expert] = product[place * first : (place + 1) * first]
            else:
                kernel = w[f"experts_{level}/kernel_0"][place]
                bias = w[f"experts_{level}/bias_0"][place, 0]
                opinions[expert] = streams[expert[0]] @ kernel + bias
        rest = product[len(experts) * first :]
        for place, owner in enumerate(readers):
            if level == 0:
                size = len(read_by(owner))
                scores[owner], rest = rest[:size], rest[size:]
            else:
                name = f"gate_{level}_{place}"
                scores[owner] = dense(streams[owner], w, name)
        mixed = {}
        for owner in readers:
            mixed[owner] = np.zeros(units)
            shares = softmax(scores[owner])
            for share, expert in zip(shares, read_by(owner), strict=True):
                mixed[owner] += share * relu(np.array(opinions[expert]))
        streams = mixed
    return np.array([streams[task] for task in range(layer.num_tasks)])


def star_mlp(layer, candidate, user, scenario):
    w, x = weights_of(layer), np.concatenate([candidate, user])
    activation = {"relu": relu, "gelu": gelu}[layer.activation.__name__]
    scenario = min(scenario, layer.num_scenarios - 1)
    for index in range(len(layer.units)):
        kernel = w[f"kernel_{index}"] * w[f"scenario_kernel_{index}"][scenario]
        bias = w[f"bias_{index}"] + w[f"scenario_bias_{index}"][scenario]
        x = (activation(x) if index else x) @ kernel + bias
    return x


def partitioned_normalization(layer, inputs, scenario):
    w = weights_of(layer)
    scenario = min(scenario, layer.num_scenarios - 1)
    scaled = (inputs - np.mean(inputs)) / np.sqrt(np.var(inputs) + 1e-6)
    scale = w["gamma"] * w["scenario_gamma"][scenario]
    return scale * scaled + w["beta"] + w["scenario_beta"][scenario]
