"""Expected outputs of attention, as loops over single numbers in NumPy.

As in tests/references.py.
"""

import math

import numpy as np

from tests.references import dense, gelu, layer_norm, softmax


def attention(query, keys, values, num_heads, added=None):
    """One query reads keys and values; returns read-out and weights.

    `added` are scores of each head and key.
    """
    head = len(query) // num_heads
    read, weights = [], []
    for h in range(num_heads):
        part = slice(h * head, (h + 1) * head)
        scores = [query[part] @ key[part] / math.sqrt(head) for key in keys]
        if added is not None:
            scores = [
                s + more for s, more in zip(scores, added[h], strict=True)
            ]
        weights.append(softmax(scores))
        read.append(
            sum(w * v[part] for w, v in zip(weights[-1], values, strict=True))
        )
    return np.concatenate(read), np.array(weights)


def transformer_block(
    events, weights, num_heads, activation=gelu, causal=False
):
    """The real events of one request; by distance, if there are scores."""
    dim = len(weights["attention_norm/gamma"])
    normed = [layer_norm(x, weights, "attention_norm") for x in events]
    fused = [dense(x, weights, "query_key_value") for x in normed]
    queries = [f[:dim] for f in fused]
    keys = [f[dim : 2 * dim] for f in fused]
    values = [f[2 * dim :] for f in fused]
    outputs = []
    for place, (x, query) in enumerate(zip(events, queries, strict=True)):
        older = range(place if causal else 0, len(events))
        added = None
        if "distance_scores" in weights:
            table = weights["distance_scores"]
            last = table.shape[1] - 1
            added = [
                [head[min(abs(other - place), last)] for other in older]
                for head in table
            ]
        read, _ = attention(
            query,
            [keys[other] for other in older],
            [values[other] for other in older],
            num_heads,
            added,
        )
        x = x + dense(read, weights, "attention_output")
        inner = layer_norm(x, weights, "feedforward_norm")
        inner = activation(dense(inner, weights, "feedforward_inner"))
        outputs.append(x + dense(inner, weights, "feedforward_output"))
    return outputs


def target_attention(query, events, weights, num_heads, with_feedforward):
    """One candidate reads the real events; returns output and weights."""
    dim = weights["no_history"].shape[0]
    normed = layer_norm(query, weights, "query_norm")
    projected = dense(normed, weights, "query")
    fused = [dense(x, weights, "key_value") for x in events]
    if fused:
        keys, values = [f[:dim] for f in fused], [f[dim:] for f in fused]
        read, shares = attention(projected, keys, values, num_heads)
    else:
        read, shares = weights["no_history"], np.zeros((num_heads, 0))
    output = dense(read, weights, "attention_output")
    if with_feedforward:
        output = output + query
        inner = layer_norm(output, weights, "feedforward_norm")
        inner = gelu(dense(inner, weights, "feedforward_inner"))
        output = output + dense(inner, weights, "feedforward_output")
    return output, shares
