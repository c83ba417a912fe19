"""Orders and fusion weights of a ranker, with the state of each session."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jd_tf.evaluation.collect import Scorer, collect_predictions, to_numpy
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.session_state import (
    session_counts,
    session_segments,
)
from jd_tf.evaluation.post_training import WEIGHTS, PostTraining
from jd_tf.evaluation.scenarios import values_by_request
from jd_tf.metrics.business_value import expected_value
from jd_tf.schema import DataError, Schema

LEARNED = "learned"


@dataclasses.dataclass(frozen=True)
class FusionObservation:
    """R requests of one split.

    Attributes:
        schema: of the requests.
        predictions: probabilities, outcomes, segments; the ranker's own order
            is the score `LEARNED`.
        weights: [R, T] of the learned fusion.
        expected: [R, N] business value to expect, by the values of the
            request's scenario: the plain rule.
        users: [R] int from 0, the user of each request.
    """

    schema: Schema
    predictions: FusionPredictions
    weights: np.ndarray
    expected: np.ndarray
    users: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """[R, T] weights as shares of their sum."""
        return self.weights / self.weights.sum(axis=1, keepdims=True)


def observe(
    batches: Iterable[Mapping[str, np.ndarray]],
    schema: Schema,
    scorer: Scorer,
    session_seconds: float,
    reward: bool = False,
    max_requests: int = 0,
) -> FusionObservation:
    """Ranks requests, and keeps the weights and the state of sessions.

    Args:
        batches: of one split, with keys, and with the simulator's truth and
            the reward where these are wanted.
        schema: of the batches.
        scorer: from a batch to `probabilities`, `score` and `fusion_weights`
            [B, 1, T], as of `model_scorer`.
        session_seconds: events not older belong to the session.
        reward: whether the reward column is the gain, not business value.
        max_requests: stop after that many; 0 for all.

    Raises:
        DataError: if the ranker fuses nothing.
    """
    segments: dict[str, list[np.ndarray]] = {}

    def watched() -> Iterator[dict[str, np.ndarray]]:
        for raw in batches:
            batch = to_numpy(raw)
            counts = session_counts(batch, schema, session_seconds)
            for name, part in session_segments(batch, schema, counts).items():
                segments.setdefault(name, []).append(part)
            yield batch

    found = PostTraining.of(
        collect_predictions(
            watched(),
            schema,
            {LEARNED: scorer},
            max_requests,
            columns=["reward"] if reward else [],
        ),
        LEARNED,
    )
    if found.weights is None:
        raise DataError(
            f"the ranker gives no `{WEIGHTS}`: it fuses nothing. Train one "
            "with --fusion=personalized or --fusion=global."
        )
    seen = found.predictions
    count = len(seen.num_candidates)
    predictions = FusionPredictions.of_run(seen, LEARNED)
    gains = predictions.gains
    if seen.values is not None and gains is None:
        labels = predictions.labels.astype(np.float64)
        gains = np.einsum("rnt,rt->rn", labels, seen.values).astype(np.float32)
    predictions = dataclasses.replace(
        predictions,
        gains=gains,
        segments={
            name: np.concatenate(parts)[:count]
            for name, parts in segments.items()
        },
    )
    values = None
    if seen.scenarios is not None:
        values = values_by_request(schema, seen.scenarios)
    users = np.arange(count) if seen.user_ids is None else seen.user_ids
    return FusionObservation(
        schema,
        predictions,
        found.weights.astype(np.float64),
        expected_value(predictions.probabilities, schema.objectives, values),
        np.unique(users, return_inverse=True)[1].reshape(-1),
    )
