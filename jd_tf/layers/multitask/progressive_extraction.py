"""Experts of all objectives and of each, level by level."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int, check_rate, check_units
from jd_tf.layers.masking import softmax
from jd_tf.layers.multitask.stacked_mlp import StackedMLP
from jd_tf.layers.split_layer import SplitLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class ProgressiveExtraction(SplitLayer):
    """Separates what objectives share from what is theirs alone (PLE).

    There is a stream for each objective and one that they share. At every
    level, each stream has experts of its own, one dense layer each, that
    read it; an objective's next stream is a mixture of its own experts and
    the shared ones, the shared one's next a mixture of all:

        x_t' = sum_e softmax(G_t x_t)_e relu(W_e x_e + b_e)

    All streams begin as the features of user and candidate side by side: the
    first level is one product, whose user half runs once a request. The last
    level leaves out the shared stream.

    Args:
        num_tasks: int. Objectives T.
        level_units: tuple of ints. Width of the experts of each level.
        num_task_experts: int. Experts of each objective alone, a level.
        num_shared_experts: int. Experts that all share, a level.
        dropout_rate: float. Dropout of the streams between levels.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.
        training: bool. Whether dropout is active.

    Returns:
        (B, N, T, level_units[-1]) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = ProgressiveExtraction(num_tasks=2, level_units=(16, 8))
        >>> layer(np.ones((1, 3, 5)), np.ones((1, 6))).shape
        TensorShape([1, 3, 2, 8])

    References:
        Progressive Layered Extraction (PLE): A Novel Multi-Task Learning
        Model for Personalized Recommendations. Tang et al., RecSys 2020
        (equations 1 to 5).
    """

    def __init__(
        self,
        num_tasks: int,
        level_units: Sequence[int],
        num_task_experts: int = 2,
        num_shared_experts: int = 2,
        dropout_rate: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_tasks = check_int("num_tasks", num_tasks, 1)
        self.level_units = check_units("level_units", level_units)
        self.num_task_experts = check_int(
            "num_task_experts", num_task_experts, 1
        )
        self.num_shared_experts = check_int(
            "num_shared_experts", num_shared_experts, 1
        )
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.output_dims = self.num_tasks, self.level_units[-1]

    def streams(self, level: int) -> list[list[int]]:
        """Returns the experts that each stream's mixture of a level reads.

        Experts count from those of the first objective to the shared ones;
        the last stream is the shared one, which the last level has not.
        """
        own, total = self.num_task_experts, self._num_experts
        shared = list(range(self.num_tasks * own, total))
        found = [
            [*range(task * own, (task + 1) * own), *shared]
            for task in range(self.num_tasks)
        ]
        last = level == len(self.level_units) - 1
        return found if last else [*found, list(range(total))]

    @property
    def _num_experts(self) -> int:
        return self.num_tasks * self.num_task_experts + self.num_shared_experts

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        first, number = self.level_units[0], self._num_experts
        self.make_halves(
            candidate_features_shape[-1],
            user_features_shape[-1],
            number * first + sum(map(len, self.streams(0))),
        )
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", (None, first), self.dropout_rate
        )
        self.experts, self.gates = [], []
        for level, units in enumerate(self.level_units[1:], 1):
            width = self.level_units[level - 1]
            self.experts.append(
                self.add_part(
                    StackedMLP,
                    f"experts_{level}",
                    (None, number, width),
                    (units,),
                    last_activation="relu",
                )
            )
            self.gates.append(
                [
                    self.add_dense(f"gate_{level}_{stream}", width, len(read))
                    for stream, read in enumerate(self.streams(level))
                ]
            )

    def mix(
        self,
        candidate_features: Any,
        user_state: Any,
        training: bool | None = None,
    ) -> Any:
        """See `SplitLayer`."""
        num_candidates = ops.shape(candidate_features)[1]
        first, number = self.level_units[0], self._num_experts
        ends = [first * (index + 1) for index in range(number)]
        for read in self.streams(0)[:-1]:
            ends.append(ends[-1] + len(read))
        product = self.first_product(candidate_features, user_state)
        parts = ops.split(product, ends, axis=-1)
        experts = [ops.relu(part) for part in parts[:number]]
        streams = self._mixtures(0, experts, parts[number:])
        for level in range(1, len(self.level_units)):
            streams = [self.dropout(one, training=training) for one in streams]
            # Each expert reads the stream it belongs to.
            counts = [self.num_task_experts] * self.num_tasks
            counts.append(self.num_shared_experts)
            inputs = [
                stream
                for stream, count in zip(streams, counts, strict=True)
                for _ in range(count)
            ]
            experts = self.experts[level - 1].each(inputs)
            scores = [
                gate(stream)
                for gate, stream in zip(
                    self.gates[level - 1], streams, strict=False
                )
            ]
            streams = self._mixtures(level, experts, scores)
        shape = (-1, num_candidates, self.num_tasks, self.level_units[-1])
        return ops.reshape(ops.stack(streams, axis=1), shape)

    def _mixtures(self, level: int, experts: list, scores: list) -> list:
        """Returns the next streams, (M, units) each."""
        mixed = []
        for read, score in zip(self.streams(level), scores, strict=True):
            shares = ops.cast(softmax(score), self.compute_dtype)[:, None]
            stacked = ops.stack([experts[index] for index in read], axis=1)
            mixed.append(ops.matmul(shares, stacked)[:, 0])
        return mixed
