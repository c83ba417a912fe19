"""Metrics as plain loops over pairs and permutations."""

import itertools
import math

import numpy as np


def auc(scores, labels, weights=None):
    """Weighted share of concordant pairs, ties half; nan without pairs."""
    weights = np.ones(len(scores)) if weights is None else weights
    won = pairs = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if labels[i] == 1 and labels[j] == 0:
                pair = float(weights[i]) * float(weights[j])
                pairs += pair
                if scores[i] > scores[j]:
                    won += pair
                elif scores[i] == scores[j]:
                    won += 0.5 * pair
    return won / pairs if pairs else math.nan


def gauc(scores, labels, groups, weights=None):
    """Mean of `auc` by group, weighted by the group's weight."""
    weights = np.ones(len(scores)) if weights is None else weights
    total = mass = 0.0
    for group in set(groups.tolist()):
        mine = groups == group
        value = auc(scores[mine], labels[mine], weights[mine])
        if not math.isnan(value):
            total += value * weights[mine].sum()
            mass += weights[mine].sum()
    return total / mass if mass else math.nan


def gain_at(scores, gains, k, discount=lambda place: 1.0):
    """Mean gain over all orders that agree with the scores (one group)."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    sums = [
        sum(gains[e] * discount(p + 1) for p, e in enumerate(order[:k]))
        for order in orders
    ]
    return sum(sums) / len(sums)


def reciprocal_rank(scores, labels):
    """Mean of 1 / place of the only positive over such orders (one group)."""
    return gain_at(scores, labels, len(scores), lambda place: 1 / place)


def ndcg(scores, gains, k):
    """NDCG of one group, nan without gain."""

    def discount(place):
        return 1 / math.log2(1 + place)

    ideal = gain_at(gains, gains, k, discount)
    return gain_at(scores, gains, k, discount) / ideal if ideal else math.nan


def log_loss(probabilities, labels, weights):
    """Weighted mean cross entropy, computed one impression at a time."""
    total = 0.0
    for p, y, w in zip(probabilities, labels, weights, strict=True):
        total -= float(w) * math.log(float(p) if y else 1 - float(p))
    return total / float(np.sum(weights, dtype=np.float64))
