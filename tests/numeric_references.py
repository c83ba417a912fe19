"""Expected outputs of the layers of dense features, as loops in NumPy.

float64, one number at a time.
"""

import math

import numpy as np


def feature_statistics(column, linear, num_quantiles):
    """Mean, scale and quantiles of one feature, by sorting."""
    values = sorted(
        x if linear else math.copysign(math.log1p(abs(x)), x) for x in column
    )

    def quantile(share):
        place = share * (len(values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(values) - 1)
        return values[below] + (place - below) * (values[above] - values[below])

    rare = math.floor(0.001 * (len(values) - 1))
    low, high = values[rare], values[len(values) - 1 - rare]
    usual = [min(max(v, low), high) for v in values]
    mean = sum(usual) / len(usual)
    kept = usual if high > low else values
    center = sum(kept) / len(kept)
    scale = math.sqrt(sum((v - center) ** 2 for v in kept) / len(kept))
    if values[0] == values[-1]:
        scale = 1.0
    steps = [i / (num_quantiles - 1) for i in range(num_quantiles)]
    return mean, scale, [quantile(share) for share in steps]


def feature_embedding(y, edges, kernel, bias):
    """One number y: each bin of `edges` (Q,) adds a share of its row."""
    vector = bias.astype("float64")
    for low, high, row in zip(edges, edges[1:], kernel, strict=False):
        if y >= high:
            vector += row
        elif y > low:
            vector += row * (y - low) / (high - low)
    return np.maximum(vector, 0)


def feature_normalization(x, linear, weights, max_value):
    """One feature vector."""
    found = []
    for i, v in enumerate(x):
        if i not in linear:
            v = math.copysign(math.log1p(abs(v)), v)
        edges = weights["quantiles"][:, i]
        v = min(max(v, edges[0]), edges[-1])
        v = (v - weights["mean"][i]) / weights["scale"][i]
        found.append(min(max(v, -max_value), max_value))
    return np.array(found)
