"""Expected outputs of fusion and calibration, as loops in NumPy.

float64, one number at a time, from the published bounds and formulas.
"""

import math

import numpy as np


def probability(logit):
    """The probability of a logit."""
    return 1 / (1 + math.exp(-logit))


def bounded_weights(gate, min_share, scale):
    """One request's weights from the gate's numbers."""
    powers = [math.exp(g - max(gate)) for g in gate]
    free = 1 - len(gate) * min_share
    return np.array(
        [scale * (min_share + free * p / sum(powers)) for p in powers]
    )


def fused(logits, weights, form):
    """One candidate's score."""
    score = 0.0
    for logit, weight in zip(logits, weights, strict=True):
        p = probability(float(logit))
        score += weight * (math.log(p) if form == "log_linear" else p)
    return score


def on_curve(logit, knots_in, knots_out):
    """One logit on a curve: straight between knots, slope 1 outside."""
    if not len(knots_in):
        return logit
    if logit <= knots_in[0]:
        return logit - knots_in[0] + knots_out[0]
    if logit >= knots_in[-1]:
        return logit - knots_in[-1] + knots_out[-1]
    for k in range(len(knots_in) - 1):
        left, right = knots_in[k], knots_in[k + 1]
        if left <= logit <= right:
            share = (logit - left) / (right - left)
            return (1 - share) * knots_out[k] + share * knots_out[k + 1]
    raise AssertionError(logit)


def calibrated(logits, curves, given):
    """One candidate's logits, none above the one it presupposes."""
    mapped = []
    for logit, curve, parent in zip(logits, curves, given, strict=True):
        out = on_curve(float(logit), *curve)
        mapped.append(out if parent < 0 else min(out, mapped[parent]))
    return np.array(mapped)


def gains(labels, label_weights, values):
    """Gain of one candidate."""
    return sum(
        float(v) * float(y) * float(w)
        for v, y, w in zip(values, labels, label_weights, strict=True)
    )


def listwise(scores, worth):
    """Cross entropy of one request: shares of the worth, softmax of scores."""
    total = sum(math.exp(s) for s in scores)
    return -sum(
        g / sum(worth) * math.log(math.exp(s) / total)
        for s, g in zip(scores, worth, strict=True)
    )


def pairwise(scores, worth):
    """Mean logistic loss of one request's pairs, by difference in worth."""
    loss = mass = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if worth[i] > worth[j]:
                gap = worth[i] - worth[j]
                mass += gap
                loss += gap * math.log(1 + math.exp(scores[j] - scores[i]))
    return loss / mass
