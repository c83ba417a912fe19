"""Expected outputs of sequence layers, as loops over single vectors in NumPy.

As in tests/references.py. Events are the real ones, newest first.
"""

import math

import numpy as np

from tests.attention_references import attention
from tests.references import age_bucket, dense, gelu, layer_norm, softmax

TWO_YEARS = 2 * 365 * 24 * 3600.0


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def local_activation(candidate, events, weights):
    """Events weighed by a network that reads each beside the candidate."""
    total = np.zeros(len(candidate))
    for event in events:
        hidden = dense(event, weights, "event_part")
        hidden = hidden + dense(candidate, weights, "candidate_part")
        hidden = hidden + (event * candidate) @ weights["product_kernel"]
        depth = sum(n.endswith("/kernel") for n in weights if "deeper" in n)
        for index in range(depth):
            hidden = dense(silu(hidden), weights, f"deeper_{index}")
        total += hidden[0] * event
    return total


def attentional_gru(events, shares, weights):
    """States after each event, newest first; None shares are ones."""
    kernel, states = weights["state_kernel"], []
    state = np.zeros(len(kernel))
    for place in reversed(range(len(events))):
        given = np.split(dense(events[place], weights, "input_part"), 3)
        own = np.split(state @ kernel, 3)
        update, reset = (
            sigmoid(g + o) for g, o in zip(given[:2], own[:2], strict=True)
        )
        if shares is not None:
            update = update * shares[place]
        new = np.tanh(given[2] + reset * own[2])
        state = (1 - update) * state + update * new
        states.insert(0, state)
    return states


def block_read(x, weights, others, num_heads):
    """One vector through a Transformer block, reading itself and others.

    `others` are (vector, weights of its block), the nearest first.
    """

    def parts(vector, its):
        normed = layer_norm(vector, its, "attention_norm")
        return np.split(dense(normed, its, "query_key_value"), 3)

    projected = [parts(x, weights), *(parts(*other) for other in others)]
    added = None
    if "distance_scores" in weights:
        last = weights["distance_scores"].shape[1] - 1
        places = [min(place, last) for place in range(len(projected))]
        added = weights["distance_scores"][:, places]
    read, _ = attention(
        projected[0][0],
        [keys for _, keys, _ in projected],
        [values for _, _, values in projected],
        num_heads,
        added,
    )
    x = x + dense(read, weights, "attention_output")
    inner = layer_norm(x, weights, "feedforward_norm")
    inner = gelu(dense(inner, weights, "feedforward_inner"))
    return x + dense(inner, weights, "feedforward_output")


def hstu_read(x, time, events, times, weights, num_heads, divisor):
    """One vector through an HSTU block, reading itself and older events."""

    def parts(vector):
        normed = layer_norm(vector, weights, "norm")
        return np.split(silu(dense(normed, weights, "projection")), 4)

    gate, query, *_ = parts(x)
    width = len(x) // num_heads
    total = np.zeros(len(x))
    for place, (vector, then) in enumerate(
        zip([x, *events], [time, *times], strict=True)
    ):
        _, _, key, value = parts(vector)
        last = weights["distance_scores"].shape[1] - 1
        for head in range(num_heads):
            part = slice(head * width, (head + 1) * width)
            score = query[part] @ key[part]
            score += weights["distance_scores"][head, min(place, last)]
            if "age_scores" in weights:
                table = weights["age_scores"][head]
                age = max(int(time) - int(then), 0)
                score += table[age_bucket(age, len(table), TWO_YEARS)]
            total[part] += silu(score) / divisor * value[part]
    read = layer_norm(total, weights, "attended_norm") * gate
    return x + dense(read, weights, "output_layer")


def shares_of(scores):
    """The softmax of some scores, or nothing of none."""
    return softmax(scores) if len(scores) else np.zeros(0)


def next_event_loss(interests, tokens, lengths):
    """Mean losses of the next event and of the next request's."""
    right, wrong = [], []
    for request in range(len(lengths)):
        other = (request + 1) % len(lengths)
        for place in range(lengths[request] - 1):
            state = interests[request][place + 1]
            score = state @ tokens[request][place]
            right.append(-math.log(sigmoid(score)))
            if place < lengths[other]:
                score = state @ tokens[other][place]
                wrong.append(-math.log(1 - sigmoid(score)))
    return sum(map(np.mean, filter(len, (right, wrong))))
