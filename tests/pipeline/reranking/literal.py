"""Re-ranking written out: determinants and loops, no incremental state."""

import math

import numpy as np


def cosine(vectors):
    """(N, N), 0 for vectors of zeros."""
    norms = np.linalg.norm(vectors, axis=1)
    found = np.zeros((len(vectors), len(vectors)))
    for i, one in enumerate(vectors):
        for j, two in enumerate(vectors):
            if norms[i] and norms[j]:
                found[i, j] = one @ two / norms[i] / norms[j]
    return found


def greedy(gain, relevance, count):
    """Takes the first of the greatest gain, by relevance where all are -inf."""
    chosen = []
    while len(chosen) < count:
        left = [i for i in range(len(relevance)) if i not in chosen]
        gains = [gain(i, chosen) for i in left]
        if max(gains) == -math.inf:
            gains = [relevance[i] for i in left]
        chosen.append(left[int(np.argmax(gains))])
    return chosen


def last(chosen, window):
    """Those that share a window with the next."""
    return [j for at, j in enumerate(chosen[::-1], 2) if at <= (window or 1e9)]


def determinantal(relevance, vectors, weight, window, own_share, count):
    """Greedy by ratios of determinants of the kernel."""
    kernel = (1 - own_share) * cosine(vectors)
    np.fill_diagonal(kernel, 1.0)

    def gain(item, chosen):
        near = last(chosen, window)
        with_it = [*near, item]
        part = np.linalg.det(kernel[np.ix_(near, near)]) if near else 1.0
        whole = np.linalg.det(kernel[np.ix_(with_it, with_it)])
        if part <= 1e-12 or whole / part <= 1e-9:
            return -math.inf if weight < 1 else relevance[item]
        return weight * relevance[item] + (1 - weight) * math.log(whole / part)

    return greedy(gain, relevance, count)


def marginal(relevance, vectors, weight, window, count):
    """Greedy by relevance minus the greatest likeness."""
    likeness = cosine(vectors)

    def gain(item, chosen):
        near = last(chosen, window)
        most = max((likeness[item, j] for j in near), default=0.0)
        return weight * relevance[item] - (1 - weight) * most

    return greedy(gain, relevance, count)
