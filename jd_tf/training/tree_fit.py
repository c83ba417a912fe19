"""Boosted trees beside a trained network, by scikit-learn."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import scipy.optimize
import tensorflow as tf
import tqdm
from absl import logging
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from jd_tf.data.batches import traced_once
from jd_tf.layers.multitask.tree_ensemble import Tree
from jd_tf.losses.multi_objective import cell_weights
from jd_tf.metrics.cells import unequal_weights
from jd_tf.metrics.ranking_metrics import ndcg
from jd_tf.training.config import TrainingConfig
from jd_tf.training.validator import VALUE_NDCG, Validator

# Fewer outcomes of a class are not learned from.
_LEAST_OUTCOMES = 20
_LOGIT_END = 20.0
# What an objective may have of its equal share of all trees.
_MOST_SHARES = 2
# Shares of the trees that are tried, from none to all.
_SHARES = 21
# Numbers [M, K], labels and weights of impressions.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def fit_trees(
    model: keras.Model,
    batches: tf.data.Dataset,
    validator: Validator,
    config: TrainingConfig,
) -> None:
    """Fits the trees of a trained model, and how much they count.

    The trees learn from what the network computes of training impressions:
    matches, ages, pairs, dense features. Those there is room for go to the
    objectives whose validation loss they lower most. Scale of the network,
    weight of the trees and offset of each objective are a logistic regression
    on the validation split, where both are new to the outcome; neither weight
    is below 0. A run that monitors the order of requests takes the share of
    the trees that orders them best. Objectives with few outcomes keep the
    network alone.

    Args:
        model: has `trees`; they are replaced.
        batches: of the training split, with `pair_part` where there are pairs.
        validator: of the validation split.
        config: rate and number of impressions; `monitor`, `seed`, `progress`.
    """
    model.trees.forget()
    rows = _rows(model, batches, config.tree_impressions)
    held = _rows(model, validator.batches())
    outputs = range(model.trees.num_outputs)
    cores = os.cpu_count() or 1
    workers = min(cores, len(outputs))

    def fit(output: int) -> tuple[list[Tree], np.ndarray]:
        # OpenMP's own threads spin for cores that other objectives use. Their
        # number is set where they are used: each thread has one of its own.
        with threadpool_limits(cores // workers, "openmp"):
            return _fit(model.trees, rows, held, output, config)

    with ThreadPoolExecutor(workers) as executor:
        fitted = executor.map(fit, outputs)
        hidden = not config.progress
        shown = tqdm.tqdm(fitted, "fitting trees", len(outputs), disable=hidden)
        grown, losses = zip(*shown, strict=True)
    counts = share_trees(losses, model.trees.num_trees)
    ensembles = [some[:n] for some, n in zip(grown, counts, strict=True)]
    apart = [[0.0, 1.0, 0.0]] * len(outputs)
    network, labels, weights, request = validator.predictions()
    model.trees.assign(ensembles, apart)
    trees, *_ = validator.predictions()
    order = request if config.monitor == VALUE_NDCG else None
    mixing = [
        _mix(network[:, t], trees[:, t], labels[:, t], weights[:, t], order)
        if ensembles[t]
        else (1.0, 0.0, 0.0)
        for t in outputs
    ]
    model.trees.assign(ensembles, mixing)
    for name, count, (scale, weight, _) in zip(
        model.schema.objective_names, counts, mixing, strict=True
    ):
        logging.info(
            "`%s`: %.2f of the network, %.2f of %d trees",
            name,
            scale,
            weight,
            count,
        )


def share_trees(losses: Sequence[np.ndarray], num_trees: int) -> list[int]:
    """Returns how many of its trees each objective keeps.

    The next ones go to the objective whose loss they lower most a tree. Sums
    of losses, not shares of them: rare outcomes tell little of their trees.

    Args:
        losses: of each objective after 0, 1, 2 ... of its trees.
        num_trees: all there is room for.

    Example:
    >>> share_trees([np.array([9, 8, 4, 4]), np.array([9, 7, 6])], 3)
    [2, 1]
    """
    counts = [0] * len(losses)
    while left := num_trees - sum(counts):
        best, step = None, (0.0, 0)
        for output, loss in enumerate(losses):
            ahead = loss[counts[output] :][: left + 1]
            gains = (ahead[0] - ahead[1:]) / np.arange(1, len(ahead))
            if len(gains) and gains.max() > step[0]:
                best, step = output, (gains.max(), int(gains.argmax()) + 1)
        if best is None:
            break
        counts[best] += step[1]
    return counts


def _rows(
    model: keras.Model, batches: tf.data.Dataset, num_impressions: int = 0
) -> Rows:
    """Returns numbers [M, K], labels and weights [M, T] of impressions."""
    compute = traced_once(
        lambda batch: model.trees.rounded(model.tree_numbers(batch)), batches
    )
    most = num_impressions or np.inf
    found: list[list[np.ndarray]] = []
    count = 0
    # Batches come in random order, so the first ones are a sample.
    for batch in batches:
        width = tf.shape(batch["item_id"])[1]
        real = tf.sequence_mask(batch["num_candidates"], width).numpy()
        labels, weights = batch["labels"], cell_weights(batch)
        parts = compute(batch), labels, weights
        found.append([np.asarray(part)[real] for part in parts])
        count += len(found[-1][0])
        if count >= most:
            break
    columns = zip(*found, strict=True)
    numbers, labels, weights = (np.concatenate(parts) for parts in columns)
    return numbers, labels, weights


def _fit(
    layer: keras.Layer,
    rows: Rows,
    held: Rows,
    output: int,
    config: TrainingConfig,
) -> tuple[list[Tree], np.ndarray]:
    """Returns the trees of an objective, none where a class is too thin.

    And the loss of all of `held` after 0, 1, 2 ... of them.
    """
    numbers, outcome, weights = _cells(rows, output)
    held_numbers, held_outcome, held_weights = _cells(held, output)
    if _too_thin(outcome) or _too_thin(held_outcome):
        return [], np.zeros(1)
    share = -(-layer.num_trees // layer.num_outputs)
    fitted = HistGradientBoostingClassifier(
        max_iter=min(_MOST_SHARES * share, layer.num_trees),
        learning_rate=config.tree_learning_rate,
        max_leaf_nodes=layer.num_leaves,
        # Fewer features a split and coarser bins are as good, and quicker.
        max_features=0.2,
        max_bins=63,
        min_samples_leaf=100,
        # Leaves of rare outcomes run off to infinity without a penalty.
        l2_regularization=20.0,
        early_stopping=False,
        random_state=config.seed,
    ).fit(numbers, outcome, unequal_weights(weights))
    start = float(fitted._baseline_prediction.ravel()[0])
    constant = np.full(len(held_outcome), start)
    logits = fitted.staged_decision_function(held_numbers)
    losses = np.array(
        [
            log_loss(
                held_outcome,
                expit(z),
                normalize=False,
                sample_weight=held_weights,
            )
            for z in (constant, *logits)
        ]
    )
    trees = [_table(tree.nodes) for (tree,) in fitted._predictors]
    # The constant belongs to no tree: the leaves of the first take it.
    first = trees[0]._replace(values=trees[0].values + start)
    return [first, *trees[1:]], losses


def _cells(rows: Rows, output: int) -> Rows:
    """Returns numbers, outcomes and weights in an objective's sample space."""
    numbers, labels, weights = rows
    inside = weights[:, output] > 0
    outcome = labels[inside, output] > 0.5
    return numbers[inside], outcome, weights[inside, output]


def _too_thin(outcome: np.ndarray) -> bool:
    """Returns whether a class has too few outcomes to learn from."""
    positives = np.count_nonzero(outcome)
    return min(positives, len(outcome) - positives) < _LEAST_OUTCOMES


def _table(nodes: np.ndarray) -> Tree:
    """Returns a tree of scikit-learn, whose nodes are rows, as a table."""
    splits = np.flatnonzero(~nodes["is_leaf"].astype(bool))
    leaves = np.flatnonzero(nodes["is_leaf"])
    place = {node: number for number, node in enumerate(splits)}
    parent = {}
    for node in splits:
        parent[nodes["left"][node]] = (node, -1)
        parent[nodes["right"][node]] = (node, 1)
    paths = np.zeros((len(leaves), len(splits)))
    for row, leaf in enumerate(leaves):
        node = leaf
        while node in parent:
            node, side = parent[node]
            paths[row, place[node]] = side
    inner = nodes[splits]
    return Tree(
        inner["feature_idx"],
        inner["num_threshold"],
        paths,
        nodes["value"][leaves],
    )


def _mix(
    network: np.ndarray,
    trees: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    request: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Returns scale, weight and offset that predict an objective best.

    Given the requests [M] of cells, network and trees have the shares whose
    order is best by NDCG@10, and the rest is fitted to their mean.
    """
    real = weights > 0
    outcome, weight = labels[real].astype(np.float64), weights[real]
    if _too_thin(outcome > 0.5):
        return 1.0, 0.0, 0.0
    parts = np.stack([network[real], trees[real]]).astype(np.float64)
    parts = np.clip(parts, -_LOGIT_END, _LOGIT_END)
    if request is None:
        *found, offset = _fit_logistic(parts, outcome, weight)
        return found[0], found[1], offset
    _, groups = np.unique(request[real], return_inverse=True)
    size = int(groups.max()) + 1
    shares = [np.array([1.0 - s, s]) for s in np.linspace(0.0, 1.0, _SHARES)]
    values = [ndcg(share @ parts, outcome, groups, size) for share in shares]
    best = shares[int(np.nanargmax(values))]
    scale, offset = _fit_logistic(best[np.newaxis] @ parts, outcome, weight)
    return scale * best[0], scale * best[1], offset


def _fit_logistic(
    parts: np.ndarray, outcome: np.ndarray, weight: np.ndarray
) -> list[float]:
    """Returns weights >= 0 of parts [K, M], and an offset."""
    parts = np.concatenate([parts, np.ones((1, len(outcome)))])

    def loss(mixing: np.ndarray) -> tuple[float, np.ndarray]:
        logits = mixing @ parts
        losses = np.logaddexp(0.0, logits) - outcome * logits
        slope = (expit(logits) - outcome) * weight
        total = weight.sum()
        return (losses * weight).sum() / total, parts @ slope / total

    count = len(parts) - 1
    found = scipy.optimize.minimize(
        loss,
        np.array([1.0 / count] * count + [0.0]),
        jac=True,
        bounds=[(0.0, None)] * count + [(None, None)],
    )
    return [float(value) for value in found.x]
