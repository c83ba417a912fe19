"""Every public layer once or more, with inputs that show what it must do.

Whatever runs over all layers (tests/layers/test_every_layer.py) runs over
`CASES`; a layer that is missing here is a failing test.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from jd_tf import layers

REQUESTS, EVENTS, CANDIDATES, WIDTH = 4, 6, 3, 8
LENGTHS = np.array([6, 4, 1, 0], np.int32)
TWO_YEARS = 2 * 365 * 24 * 3600.0


@dataclass(frozen=True)
class Case:
    """One layer, ready to be made and called.

    Attributes:
        name: str. Names the test.
        create: callable. Makes the layer; takes `dtype` and the like.
        inputs: callable. Random generator to the call arguments, a dict in
            the order of `call`, whose values are arrays or dicts of them.
        history: tuple of str. Arguments with events on axis 1, of which
            argument `length` or else `LENGTHS` says how many are real.
        candidates: tuple of str. Arguments with candidates on axis 1, which
            the outputs follow.
        event_outputs: bool. Whether the outputs have events on axis 1.
    """

    name: str
    create: Callable[..., keras.layers.Layer]
    inputs: Callable[[np.random.Generator], dict]
    history: tuple = ()
    candidates: tuple = ()
    event_outputs: bool = False


def _normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def _history(rng):
    return {
        "inputs": _normal(rng, REQUESTS, EVENTS, WIDTH),
        "length": LENGTHS,
    }


def _memory(rng):
    return {
        "memory": _normal(rng, REQUESTS, EVENTS, WIDTH),
        "length": LENGTHS,
    }


def _decoded(rng):
    queries = _normal(rng, REQUESTS, CANDIDATES, WIDTH)
    return {"queries": queries, **_memory(rng)}


def _aged(rng):
    ages = np.sort(rng.uniform(0, TWO_YEARS, (REQUESTS, EVENTS)), axis=1)
    ages[0] = [0, 3, 70, 90_000, 3e6, 1e9]
    return {
        "inputs": _normal(rng, REQUESTS, EVENTS, WIDTH),
        "age_seconds": ages.astype(np.float32),
    }


def _numbers(rng):
    ids = rng.integers(-(2**62), 2**62, (REQUESTS, CANDIDATES))
    ids[:, 0] = [0, 11, 12, 13]
    return {"ids": ids}


def _words(rng):
    known = ["", "red", "blue", "new"]
    words = rng.choice(known, (REQUESTS, CANDIDATES))
    words[:, 0] = known
    return {"ids": words.astype(object)}


def _places(rng):
    shape = (REQUESTS, CANDIDATES)
    return {
        "inputs": {
            "position": rng.integers(-2, 9, shape).astype(np.int32),
            "page": rng.integers(0, 3, shape).astype(np.int32),
        }
    }


def _features(rng):
    return {
        "candidate_features": _normal(rng, REQUESTS, CANDIDATES, WIDTH),
        "user_features": _normal(rng, REQUESTS, 5),
    }


def _slices(rng):
    return {"inputs": _normal(rng, REQUESTS, CANDIDATES, 2, WIDTH)}


def _logits(rng):
    return {"inputs": 3 * _normal(rng, REQUESTS, CANDIDATES, 4)}


def _amounts(rng):
    amounts = np.exp(4 * rng.normal(size=(REQUESTS, CANDIDATES, 5)))
    return {"inputs": amounts.astype(np.float32)}


def _matched(rng):
    return {
        "candidate_ids": rng.integers(0, 12, (REQUESTS, CANDIDATES, 2)),
        "history_ids": rng.integers(0, 12, (REQUESTS, EVENTS, 2)),
        "length": LENGTHS,
    }


def _case(name, layer, inputs, *args, laws=None, **settings):
    def create(**kwargs):
        return layer(*args, **settings, **kwargs)

    return Case(name, create, inputs, **(laws or {}))


_PER_EVENT = {"history": ("inputs",), "event_outputs": True}
_PER_CANDIDATE = {"candidates": ("inputs",)}
_BY_ID = {"candidates": ("ids",)}
_DECODER = {"history": ("memory",), "candidates": ("queries",)}
_MIXTURE = {"candidates": ("candidate_features",)}

CASES = (
    _case("id_hashed", layers.IdEmbedding, _numbers, 4, 9, laws=_BY_ID),
    _case(
        "id_in_vocabulary",
        layers.IdEmbedding,
        _numbers,
        4,
        vocabulary=(11, 12),
        laws=_BY_ID,
    ),
    _case(
        "word_hashed",
        layers.IdEmbedding,
        _words,
        4,
        num_buckets=9,
        id_dtype="string",
        laws=_BY_ID,
    ),
    _case(
        "word_in_vocabulary",
        layers.IdEmbedding,
        _words,
        4,
        vocabulary=("red", "blue"),
        id_dtype="string",
        embeddings_initializer="glorot_uniform",
        laws=_BY_ID,
    ),
    _case(
        "history_match",
        layers.HistoryMatch,
        _matched,
        laws={"history": ("history_ids",), "candidates": ("candidate_ids",)},
    ),
    _case("log_scaling", layers.LogScaling, _amounts, laws=_PER_CANDIDATE),
    _case(
        "temporal_encoding",
        layers.TemporalEncoding,
        _aged,
        5,
        num_age_buckets=16,
        laws={"history": ("inputs", "age_seconds"), "event_outputs": True},
    ),
    _case(
        "transformer_block",
        layers.TransformerBlock,
        _history,
        num_heads=2,
        feedforward_dim=12,
        laws=_PER_EVENT,
    ),
    _case(
        "transformer_encoder",
        layers.TransformerEncoder,
        _history,
        num_layers=2,
        num_heads=2,
        feedforward_dim=12,
        activation="relu",
        laws=_PER_EVENT,
    ),
    _case(
        "interest_crossing",
        layers.InterestCrossing,
        _memory,
        laws={"history": ("memory",)},
    ),
    _case("decoder", layers.TargetAttentionDecoder, _decoded, 2, laws=_DECODER),
    _case(
        "decoder_with_feedforward",
        layers.TargetAttentionDecoder,
        _decoded,
        num_heads=4,
        feedforward_dim=12,
        laws=_DECODER,
    ),
    _case(
        "stacked_mlp",
        layers.StackedMLP,
        _slices,
        units=(5, 3),
        activation="gelu",
        laws=_PER_CANDIDATE,
    ),
    _case(
        "shallow_mixture",
        layers.MixtureOfExperts,
        _features,
        num_experts=3,
        expert_units=(7,),
        num_tasks=2,
        laws=_MIXTURE,
    ),
    _case(
        "deep_mixture",
        layers.MixtureOfExperts,
        _features,
        num_experts=3,
        expert_units=(7, 6, 5),
        num_tasks=2,
        activation="gelu",
        laws=_MIXTURE,
    ),
    _case(
        "task_tower",
        layers.TaskTower,
        _slices,
        num_tasks=2,
        units=(5,),
        laws=_PER_CANDIDATE,
    ),
    _case(
        "bias_tower",
        layers.BiasTower,
        _places,
        num_values={"position": 7, "page": 3},
        units=(6, 4),
        num_outputs=2,
        laws=_PER_CANDIDATE,
    ),
    _case(
        "entire_space_logits",
        layers.EntireSpaceLogits,
        _logits,
        given=(-1, 0, 1, -1),
        laws=_PER_CANDIDATE,
    ),
)


def case_named(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)
