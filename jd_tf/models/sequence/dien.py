"""Interests that evolve towards each candidate."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers import AttentionalGRU
from jd_tf.layers.masking import length_mask, masked_softmax
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import SequenceRankerConfig
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@dataclasses.dataclass(frozen=True)
class DIENConfig(SequenceRankerConfig):
    """Sizes of `DIEN`.

    Attributes:
        auxiliary_rate: weight of the loss of next events; 0 leaves it out.

    Example:
    >>> DIENConfig.of(auxiliary_rate=0.5).auxiliary_rate
    0.5
    """

    auxiliary_rate: float = 1.0


@register_model("dien", DIENConfig)
class DIEN(SequenceRanker):
    """Extracts interests by one recurrent layer and evolves them by another.

        h_t = GRU(e_t, h_t-1)
        a_t(q) = softmax over t of h_t W q
        r(q) = last state of AUGRU(h_t, a_t(q))
        loss = ... - mean(log s(h_t e_t+1) + log(1 - s(h_t e'_t+1)))

        events ─ extractor ─ interests h ─ keys, first products ─┐
        candidate q ─ attention ─ a(q) ─ evolution, step by step ┴─ r(q)

    s is the sigmoid; e' are events of the next request in the batch, at the
    same places; the loss is added while training. Interests, keys and the
    products of the evolution's inputs are computed once a request; its steps
    are taken for all candidates at once, and cannot be saved: it is the
    slowest model of all. Every behaviour is read apart. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("dien").model_class.__name__
    'DIEN'

    References:
        Deep Interest Evolution Network for Click-Through Rate Prediction.
        Zhou et al., AAAI 2019 (equations 2 to 7 and 12 to 16).
    """

    config_class = DIENConfig

    def make_reader(self, name: str) -> list[Any]:
        dim, shared = self.config.items.model_dim, {"dtype": self.dtype_policy}
        return [
            AttentionalGRU(dim, name=f"{name}_extractor", **shared),
            keras.layers.Dense(
                dim, use_bias=False, name=f"{name}_attention", **shared
            ),
            AttentionalGRU(dim, name=f"{name}_evolution", **shared),
            NextEventLoss(
                self.config.auxiliary_rate, name=f"{name}_loss", **shared
            ),
        ]

    def encode_events(
        self, reader: list[Any], tokens: Any, length: Any, training: bool
    ) -> tuple[dict[str, Any], Any]:
        extractor, attention, evolution, next_event_loss = reader
        interests = extractor(tokens, length)
        if training and self.config.auxiliary_rate:
            next_event_loss(interests, tokens, length)
        keys, parts = attention(interests), evolution.input_part(interests)
        return {"keys": keys, "parts": parts}, interests

    def read_events(
        self,
        reader: list[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool,
    ) -> Any:
        keys, length = state["keys"], state["length"]
        keys = ops.cast(keys, candidates.dtype)
        scores = ops.matmul(candidates, ops.transpose(keys, (0, 2, 1)))
        real = length_mask(length, ops.shape(keys)[1])[:, None]
        weights = masked_softmax(scores, real)
        return reader[2].follow(state["parts"], length, weights)


class NextEventLoss(keras.layers.Layer):
    """Adds to the loss whether interests tell the next event from another.

    Args:
        rate: float. Weight of the loss.

    Call arguments:
        interests: (B, L, D) float. The states after each event, newest first.
        tokens: (B, L, D) float. The events.
        length: (B,) integer. Real events.

    Returns:
        The loss, a scalar float32.

    Example:
    >>> loss = NextEventLoss(rate=1.0)
    >>> interests, tokens = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    >>> round(float(loss(interests, tokens, np.array([3, 3]))), 4)
    1.3863
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, interests_shape: Any) -> None:
        """Makes nothing: there are no weights."""

    def call(self, interests: Any, tokens: Any, length: Any) -> Any:
        interests = ops.cast(interests, "float32")[:, 1:]
        tokens = ops.cast(tokens, "float32")[:, :-1]
        real = length_mask(length - 1, ops.shape(tokens)[1])
        other = tf.roll(tokens, -1, axis=0)
        both = real & length_mask(
            tf.roll(length, -1, axis=0), ops.shape(tokens)[1]
        )
        right = ops.sum(interests * tokens, axis=-1)
        wrong = ops.sum(interests * other, axis=-1)
        loss = _mean(ops.softplus(-right), real) + _mean(
            ops.softplus(wrong), both
        )
        self.add_loss(self.rate * loss)
        return loss


def _mean(values: Any, real: Any) -> Any:
    count = ops.maximum(ops.sum(ops.cast(real, "float32")), 1.0)
    return ops.sum(ops.where(real, values, 0.0)) / count
