"""What layers must compute, written as loops over single numbers in NumPy.

Everything is float64 and follows the published formula, not the layers'
code: nothing is fused, split or batched, and masks do not exist because
only real events are looped over. Weights come as dicts of arrays.
"""

import math

import numpy as np

UINT64 = (1 << 64) - 1


def hashed_row(number: int, num_buckets: int) -> int:
    """Row of an int64 id: splitmix64's finaliser in whole numbers."""
    if number == 0:
        return 0
    z = number & UINT64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & UINT64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & UINT64
    z ^= z >> 31
    return 1 + (z & ((1 << 63) - 1)) % (num_buckets - 1)


def age_bucket(age: float, num_buckets: int, max_age: float) -> int:
    """Number of bucket starts at or below an age, not counting the first."""
    starts = [
        (1 + max_age) ** (k / (num_buckets - 1)) - 1 for k in range(num_buckets)
    ]
    return sum(start <= age for start in starts[1:])


def temporal_encoding(inputs, ages, position_table, age_table, max_age):
    """Event by event."""
    outputs = np.array(inputs, np.float64)
    for b, e in np.ndindex(outputs.shape[:2]):
        outputs[b, e] += position_table[min(e, len(position_table) - 1)]
        outputs[b, e] += age_table[
            age_bucket(ages[b, e], len(age_table), max_age)
        ]
    return outputs


def dense(x, weights, name):
    """One vector through one dense layer."""
    out = x @ weights[f"{name}/kernel"].astype(np.float64)
    return out + weights.get(f"{name}/bias", 0.0)


def layer_norm(x, weights, name, epsilon=1e-6):
    """One vector to mean 0 and variance 1, then scaled and shifted."""
    scaled = (x - np.mean(x)) / math.sqrt(np.var(x) + epsilon)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def gelu(x):
    """Each number times the share of a normal distribution below x."""
    return np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


def relu(x):
    """The positive part."""
    return np.maximum(x, 0.0)


def softmax(scores):
    """Exponentials over their sum."""
    powers = [math.exp(s - max(scores)) for s in scores]
    return np.array([p / sum(powers) for p in powers])


def attention(query, keys, values, num_heads):
    """One query reads keys and values; returns read-out and weights."""
    head = len(query) // num_heads
    read, weights = [], []
    for h in range(num_heads):
        part = slice(h * head, (h + 1) * head)
        scores = [query[part] @ key[part] / math.sqrt(head) for key in keys]
        weights.append(softmax(scores))
        read.append(
            sum(w * v[part] for w, v in zip(weights[-1], values, strict=True))
        )
    return np.concatenate(read), np.array(weights)


def transformer_block(events, weights, num_heads, activation=gelu):
    """The real events of one request."""
    dim = len(weights["attention_norm/gamma"])
    normed = [layer_norm(x, weights, "attention_norm") for x in events]
    fused = [dense(x, weights, "query_key_value") for x in normed]
    queries = [f[:dim] for f in fused]
    keys = [f[dim : 2 * dim] for f in fused]
    values = [f[2 * dim :] for f in fused]
    outputs = []
    for x, query in zip(events, queries, strict=True):
        read, _ = attention(query, keys, values, num_heads)
        x = x + dense(read, weights, "attention_output")
        inner = layer_norm(x, weights, "feedforward_norm")
        inner = activation(dense(inner, weights, "feedforward_inner"))
        outputs.append(x + dense(inner, weights, "feedforward_output"))
    return outputs


def interest_crossing(events, weights):
    """First and second order of the real events of one request."""
    dim = len(weights["no_history"])
    first, second = np.zeros(dim), np.zeros(dim)
    if not len(events):
        return weights["no_history"], second
    scores = [
        float(
            np.tanh(dense(x, weights, "attention"))
            @ weights["attention_query"][:, 0]
        )
        for x in events
    ]
    for weight, event in zip(softmax(scores), events, strict=True):
        first += weight * event
    pairs = 0
    for i in range(len(events)):
        for j in range(i):
            second += np.asarray(events[i], np.float64) * events[j]
            pairs += 1
    return first, second / max(pairs, 1)


def target_attention(query, events, weights, num_heads, with_feedforward):
    """One candidate reads the real events; returns output and weights."""
    dim = weights["no_history"].shape[0]
    asked = dense(layer_norm(query, weights, "query_norm"), weights, "query")
    fused = [dense(x, weights, "key_value") for x in events]
    if fused:
        read, shares = attention(
            asked, [f[:dim] for f in fused], [f[dim:] for f in fused], num_heads
        )
    else:
        read, shares = weights["no_history"], np.zeros((num_heads, 0))
    output = dense(read, weights, "attention_output")
    if with_feedforward:
        output = output + query
        inner = layer_norm(output, weights, "feedforward_norm")
        inner = gelu(dense(inner, weights, "feedforward_inner"))
        output = output + dense(inner, weights, "feedforward_output")
    return output, shares


def mixture_of_experts(x, experts, gates, activation):
    """MMoE of one feature vector, user and candidate side by side.

    Args:
        x: (Du + Dc,). Features.
        experts: list of experts, each a list of (kernel, bias).
        gates: list of (kernel, bias), one an objective.
        activation: callable. After every layer of an expert.
    """
    opinions = []
    for layers in experts:
        hidden = x
        for kernel, bias in layers:
            hidden = activation(hidden @ kernel + bias)
        opinions.append(hidden)
    shares = [softmax(x @ kernel + bias) for kernel, bias in gates]
    mixed = [
        sum(s * o for s, o in zip(share, opinions, strict=True))
        for share in shares
    ]
    return np.array(mixed), np.array(shares)


def mlp(x, layers, activation):
    """One vector through (kernel, bias) pairs, the last one linear."""
    for index, (kernel, bias) in enumerate(layers):
        x = x @ kernel.astype(np.float64) + bias
        if index < len(layers) - 1:
            x = activation(x)
    return x


def history_match(candidate, events):
    """Per id column: log count, share and recency of the events with it."""
    features = []
    for column, number in enumerate(candidate):
        places = [
            place
            for place, event in enumerate(events)
            if number != 0 and event[column] == number
        ]
        share = len(places) / len(events) if len(events) else 0.0
        recency = sum(1 / (1 + place) for place in places)
        features += [math.log(1 + len(places)), share, recency]
    return np.array(features)


def log_scaling(x, scale, bias):
    """One feature vector."""
    return np.array(
        [
            s * math.copysign(math.log1p(abs(v)), v) + b
            for v, s, b in zip(x, scale, bias, strict=True)
        ]
    )


def entire_space_probabilities(logits, given):
    """Probabilities over all impressions, as products of conditionals."""
    probabilities = []
    for logit, parent in zip(logits, given, strict=True):
        probability = 1 / (1 + math.exp(-logit))
        if parent >= 0:
            probability *= probabilities[parent]
        probabilities.append(probability)
    return np.array(probabilities)
