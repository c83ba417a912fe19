"""Boosted trees in the graph, added to the logits of a network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_given, check_int
from jd_tf.layers.multitask.entire_space_logits import bounded

# What is nearer to zero than half of it is zero; and bits of single precision
# that are rounded away.
_STEP, _DROPPED_BITS = 2.0**-18, 12
# All trees at once would take more memory than caches hold.
_TREES_AT_ONCE = 60


class Tree(NamedTuple):
    """A binary tree of S splits and S + 1 leaves, as a table.

    Attributes:
        features: [S] int, the number that each split compares.
        thresholds: [S] float; a row goes left where its number is at most
            this.
        paths: [S + 1, S], -1 where a leaf lies left of a split, 1 where it
            lies right, 0 where it does not lie below it.
        values: [S + 1] float, what each leaf adds.
    """

    features: np.ndarray
    thresholds: np.ndarray
    paths: np.ndarray
    values: np.ndarray


@keras.saving.register_keras_serializable(package="jd_tf")
class TreeEnsemble(BaseLayer):
    """Adds the sum of boosted trees to logits: a logit + b trees + c.

    Trees find thresholds in numbers (counts, ages, weights of pairs) that a
    network of a few layers does not, and a network finds in ids and orders
    what trees do not. They are fitted after the network, on the numbers it
    computes, and a, b and c on validation data: `assign`. No gradient changes
    anything. Before `assign` the layer returns the logits as they are.

    All splits of all trees are compared at once, and the leaf of a row is the
    one whose path agrees with all of them, so it is a gather and two products
    of stock operations.

    Args:
        given: tuple of ints. For each objective the index of the one it
            presupposes, which it is never likelier than, or -1.
        num_trees: int. Trees R of all objectives together at most; each tree
            belongs to one.
        num_leaves: int. Leaves of a tree at most.

    Call arguments:
        numbers: (B, N, K) float.
        logits: (B, N, T) float.

    Returns:
        (B, N, T) float.

    Raises:
        ValueError: an argument out of range.

    References:
        Practical Lessons from Predicting Clicks on Ads at Facebook. He et
        al., ADKDD 2014.

    Example:
        >>> layer = TreeEnsemble(given=(-1,), num_trees=1, num_leaves=2)
        >>> stump = [0], [0.5], [[-1], [1]], [-2.0, 3.0]
        >>> layer.assign([[stump]], [[1.0, 1.0, 0.0]])
        >>> numbers = np.array([[[0.5], [0.6]]])
        >>> layer(numbers, np.zeros((1, 2, 1))).numpy().ravel().tolist()
        [-2.0, 3.0]
    """

    def __init__(
        self,
        given: Sequence[int],
        num_trees: int,
        num_leaves: int,
        **kwargs: Any,
    ):
        # Thresholds tell numbers apart that are one in half precision.
        super().__init__(**{**kwargs, "autocast": False})
        self.given = check_given(given)
        self.num_trees = check_int("num_trees", num_trees, 1)
        self.num_leaves = check_int("num_leaves", num_leaves, 2)

    @property
    def num_outputs(self) -> int:
        """Objectives T."""
        return len(self.given)

    def build(
        self, numbers_shape: Any = None, logits_shape: Any = None
    ) -> None:
        trees, leaves = self.num_trees, self.num_leaves
        splits = leaves - 1

        def add(name: str, *shape: int, dtype: str = "float32") -> Any:
            return self.add_weight(
                shape,
                "zeros",
                dtype=dtype,
                trainable=False,
                autocast=False,
                name=name,
            )

        self.features = add("features", trees, splits, dtype="int64")
        self.thresholds = add("thresholds", trees, splits)
        self.paths = add("paths", trees, leaves, splits)
        # A tree adds to its own objective alone.
        self.values = add("values", trees, leaves, self.num_outputs)
        self.mixing = self.add_weight(
            (self.num_outputs, 3),
            "zeros",
            trainable=False,
            autocast=False,
            name="mixing",
        )
        # The logits as they are.
        self.mixing.assign([[1.0, 0.0, 0.0]] * self.num_outputs)

    def forget(self) -> None:
        """Drops all trees: the layer returns logits as they are."""
        self.assign(
            [[] for _ in range(self.num_outputs)],
            [[1.0, 0.0, 0.0]] * self.num_outputs,
        )

    def assign(
        self,
        trees: Sequence[Sequence[Tree]],
        mixing: Sequence[Sequence[float]],
    ) -> None:
        """Replaces all trees.

        Args:
            trees: of each objective.
            mixing: (T, 3) factors of logits and trees, and an offset.

        Raises:
            ValueError: there is no room for so many trees, or leaves.
        """
        if not self.built:
            self.build()
        sizes = [len(values) for some in trees for *_, values in some]
        if len(sizes) > self.num_trees or (
            max(sizes, default=0) > self.num_leaves
        ):
            raise ValueError(
                f"Layer {self.name!r} has room for {self.num_trees} trees "
                f"of {self.num_leaves} leaves. Got: {len(sizes)} trees of at "
                f"most {max(sizes)} leaves."
            )
        variables = self.features, self.thresholds, self.paths, self.values
        tables = [np.zeros(v.shape, v.dtype) for v in variables]
        *inner, values = tables
        number = 0
        for output, ensemble in enumerate(trees):
            for tree in map(Tree._make, ensemble):
                low = _rounded_down(tree.thresholds)
                parts = tree.features, low, tree.paths
                for table, part in zip(inner, parts, strict=True):
                    part = np.asarray(part)
                    place = tuple(slice(size) for size in part.shape)
                    table[number][place] = part
                values[number, : len(tree.values), output] = tree.values
                number += 1
        for variable, table in zip(variables, tables, strict=True):
            variable.assign(table)
        self.mixing.assign(np.asarray(mixing, "float32"))

    @staticmethod
    def rounded(numbers: Any) -> Any:
        """Returns numbers as trees compare them, of 12 significant bits.

        The same sum in another graph differs in its last bits. A threshold
        between two such sums would send one item both ways.
        """
        numbers = tf.round(tf.cast(numbers, tf.float32) / _STEP) * _STEP
        bits = tf.bitcast(numbers, tf.int32) + (1 << _DROPPED_BITS - 1)
        bits = tf.bitwise.bitwise_and(bits, -(1 << _DROPPED_BITS))
        return tf.bitcast(bits, tf.float32)

    def sums(self, numbers: Any) -> Any:
        """Returns the sum of each objective's trees, (B, N, T) float32."""
        numbers = self.rounded(numbers)
        shape = tf.shape(numbers)
        # As (K, M), so that a gather copies whole rows.
        columns = tf.transpose(tf.reshape(numbers, (-1, numbers.shape[-1])))
        starts = range(0, self.num_trees, _TREES_AT_ONCE)
        found = [
            self._sums(columns, slice(at, at + _TREES_AT_ONCE)) for at in starts
        ]
        total = found[0]
        # In this order, so that the sum repeats bit for bit.
        for part in found[1:]:
            total += part
        total = tf.transpose(total)
        return tf.reshape(total, (shape[0], shape[1], self.num_outputs))

    def _sums(self, columns: Any, trees: slice) -> Any:
        """Returns the sums of some trees, (T, M)."""
        splits = tf.gather(columns, self.features[trees])  # (R, S, M)
        right = splits > self.thresholds[trees][..., None]
        paths = self.paths[trees]
        # A leaf is reached where every turn to the right on its path was
        # taken, and no other: the most that the product can be.
        turns = tf.reduce_sum(tf.nn.relu(paths), -1, keepdims=True)
        taken = tf.matmul(paths, tf.cast(right, tf.float32))
        reached = tf.cast(taken == turns, tf.float32)  # (R, leaves, M)
        values = tf.reshape(self.values[trees], (-1, self.num_outputs))
        reached = tf.reshape(reached, (values.shape[0], -1))
        return tf.matmul(values, reached, transpose_a=True)

    def call(self, numbers: Any, logits: Any) -> Any:
        scale, weight, offset = tf.unstack(
            tf.convert_to_tensor(self.mixing), axis=-1
        )
        logits = tf.cast(logits, tf.float32)
        mixed = logits * scale + self.sums(numbers) * weight + offset
        return tf.cast(bounded(mixed, self.given), self.compute_dtype)

    def compute_output_shape(
        self, numbers_shape: tuple, logits_shape: Any = None
    ) -> tuple:
        return (*numbers_shape[:-1], self.num_outputs)


def _rounded_down(thresholds: Any) -> np.ndarray:
    """Returns single precision; up, a number between would change sides."""
    exact = np.asarray(thresholds, np.float64)
    rounded = exact.astype(np.float32)
    below = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > exact, below, rounded)
