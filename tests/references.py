"""Expected outputs of layers, as loops over single numbers in NumPy.

Everything is float64 and follows the published formula, not the layers'
code: nothing is fused, split or batched, and masks do not exist because
only real events are looped over. Weights come as dicts of arrays.
"""

import math
import re
import unicodedata

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


def pair_match(candidate, events, event_weights, pairs):
    """Features of one candidate; `pairs` is (event, target) -> weight."""
    total, seen, newest = 0.0, [0.0], 0.0
    learned = np.zeros(event_weights.shape[-1])
    for place, event in enumerate(events):
        weight = pairs.get((event, candidate), 0.0)
        total += weight / (1 + place)
        seen.append(weight)
        learned += weight * event_weights[place]
        if weight and not newest:
            newest = 1 / (1 + place)
    roots = [math.sqrt(value) for value in learned]
    return [total, math.sqrt(total), max(seen), newest, *roots]


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


def id_overlap(candidate, events, event_weights, max_values=(), weights=None):
    """Per id column: share, recency, log count, log sums of weights, newest.

    `weights` are, by the number of a column, those of its values in a share.
    """
    features, start = [], 0
    for column, size in enumerate(max_values or [1] * len(candidate)):
        weight = (weights or {}).get(column, np.ones(1 + max(candidate)))
        place = slice(start, start + size)
        start += size
        wanted = set(candidate[place]) - {0}
        shares = [
            sum(weight[value] for value in wanted & set(event[place]))
            / (sum(weight[value] for value in wanted) or 1.0)
            for event in events
        ]
        near = [s / (1 + place) for place, s in enumerate(shares)]
        features += [sum(shares) / max(len(events), 1), sum(near)]
        features.append(math.log(1 + sum(shares)))
        for of_event in event_weights.T:
            total = sum(
                share * float(of_event[place])
                for place, share in enumerate(shares)
            )
            features.append(math.log(1 + total))
        features.append(max(near, default=0.0))
    return np.array(features)


def pooled(table, rows, pooling):
    """The mean or sum of the table's rows that are not 0; zeros if none."""
    vectors = [table[row] for row in rows if row != 0]
    total = np.zeros(table.shape[1])
    for vector in vectors:
        total += vector
    return total / max(len(vectors), 1) if pooling == "mean" else total


def content_match(candidate, events, event_weights, mapping, num_heads):
    """One candidate against the mapped mean of its user's events.

    `candidate` and the members of `events` are None without an embedding.
    """
    kernel, bias = mapping
    dim, match_dim = kernel.shape

    def mapped(vector):
        unit = vector / np.sqrt(np.sum(vector**2))
        return unit * max(1.0, dim / match_dim) ** 0.5 @ kernel + bias

    features = []
    for weights in event_weights.T:
        total, count = np.zeros(match_dim), 1.0
        for event, weight in zip(events, weights, strict=True):
            if event is not None:
                total += weight * mapped(event)
                count += weight
        for part in np.array_split(np.arange(match_dim), num_heads):
            product = 0.0
            if candidate is not None:
                product = np.dot(mapped(candidate)[part], total[part] / count)
            features.append(product)
    return np.array(features)


def event_weights(features, age, numbers, weights):
    """One event."""
    scores = dense(features, weights, "weighing")
    constants = [math.exp(t) for t in weights["log_time_constant"]]
    learned = [
        math.exp(-float(age) / t) / (1 + math.exp(-score))
        for score, t in zip(scores, constants, strict=True)
    ]
    known = [
        math.exp(-float(age) / t) * math.log(1 + max(float(number), 0))
        for number in numbers
        for t in constants
    ]
    return np.array(learned + known)


def entire_space_probabilities(logits, given):
    """Probabilities over all impressions, as products of conditionals."""
    probabilities = []
    for logit, parent in zip(logits, given, strict=True):
        probability = 1 / (1 + math.exp(-logit))
        if parent >= 0:
            probability *= probabilities[parent]
        probabilities.append(probability)
    return np.array(probabilities)


def log_bucket_vector(number, log_scale, table, max_value):
    """Between the vectors of the two edges around one number."""
    *vectors, unknown = table.astype(np.float64)
    if math.isnan(number) or number < 0:
        return unknown
    scale, last = math.exp(log_scale), len(vectors) - 1
    edges = [
        scale * ((1 + max_value / scale) ** (k / last) - 1)
        for k in range(last + 1)
    ]
    if number >= edges[-1]:
        return vectors[-1]
    k = sum(edge <= number for edge in edges) - 1
    start, end, here = (
        math.log(1 + x / scale) for x in (edges[k], edges[k + 1], number)
    )
    share = (here - start) / (end - start)
    return (1 - share) * vectors[k] + share * vectors[k + 1]


def fine_grained(dwell, counts, action_ids, weights, activation):
    """Encoded behaviour of one event, one vector.

    Args:
        dwell: float. Seconds.
        counts: (C,). One number a counter, or () without.
        action_ids: (A,), or None without.
        weights: dict of arrays.
        activation: callable. Of the hidden layers.
    """
    parts = [
        log_bucket_vector(
            dwell,
            weights["dwell_embedding/log_scale"][0],
            weights["dwell_embedding/bucket_table"][0],
            3600,
        )
    ]
    for c, count in enumerate(counts):
        scale = weights["count_embedding/log_scale"][c]
        table = weights["count_embedding/bucket_table"][c]
        parts.append(log_bucket_vector(count, scale, table, 100))
    if action_ids is not None:
        table = weights["action_table"].astype(np.float64)
        total = np.zeros(table.shape[1])
        for number in action_ids:
            if 1 <= number <= len(table):
                total += table[number - 1]
        parts.append(total)
    depth = sum(name.startswith("mlp/kernel") for name in weights)
    layers = [
        (weights[f"mlp/kernel_{i}"][0], weights[f"mlp/bias_{i}"][0, 0])
        for i in range(depth)
    ]
    return mlp(np.concatenate(parts), layers, activation)


def image_transfer(
    vectors, present, gate_input, weights, gate_index, activation
):
    """One item's vectors, one a modality, mixed by one gate."""
    outputs = []
    for m, (vector, is_there) in enumerate(zip(vectors, present, strict=True)):
        vector = np.asarray(vector, np.float64)
        if is_there:
            vector = vector / math.sqrt(np.mean(vector**2))
        else:
            vector = weights[f"missing_{m}"]
        kernels = weights[f"output_kernel_{m}"]
        deeper = sum(name.startswith(f"deeper_{m}/k") for name in weights)
        for e, kernel in enumerate(kernels):
            width = weights[f"first_{m}/bias"].shape[0] // len(kernels)
            part = slice(e * width, (e + 1) * width)
            layers = [
                (
                    weights[f"first_{m}/kernel"][:, part],
                    weights[f"first_{m}/bias"][part],
                )
            ]
            for i in range(deeper):
                layers.append(
                    (
                        weights[f"deeper_{m}/kernel_{i}"][e],
                        weights[f"deeper_{m}/bias_{i}"][e, 0],
                    )
                )
            layers.append((kernel, weights[f"output_bias_{m}"][e]))
            outputs.append(mlp(vector, layers, activation))
    scores = gate_input @ weights["gate_kernel"][gate_index].astype(np.float64)
    gates = softmax(scores + weights["gate_bias"][gate_index])
    mixed = sum(g * out for g, out in zip(gates, outputs, strict=True))
    return mixed, gates


def tokens(text, max_tokens=10**9):
    """Words, and pairs of characters that are written without spaces."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    plain = ""
    for character in text:
        if unicodedata.category(character)[0] not in "LN":
            plain += " "
            continue
        same = unicodedata.normalize("NFKC", character)
        plain += (same if len(same) == 1 else character).lower()[0]
    # Kana, Chinese and Korean characters, of the alphabets tested.
    cjk = (
        "[\u3005\u3007\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3"
        "\U00020000-\U0002ffff]"
    )
    found = []
    for run in re.findall(f"{cjk}+|(?:(?!{cjk})[^ ])+", plain):
        if re.match(cjk, run) and len(run) > 1:
            found += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            found.append(run)
    return found[:max_tokens]
