"""Cells of requests: labels, logits and weights, some of them 0."""

import numpy as np


def random_cells(seed=0, shape=(4, 5, 3)):
    """Returns labels, logits and weights of a shape."""
    random = np.random.default_rng(seed)
    labels = (random.random(shape) < 0.4).astype("float32")
    logits = random.normal(size=shape, scale=3).astype("float32")
    weights = random.choice([0.0, 1.0, 2.5], shape).astype("float32")
    return labels, logits, weights
