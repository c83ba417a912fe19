"""Cases of the layers that sequence and unified models are made of."""

import numpy as np

from jd_tf import layers
from tests import case_inputs
from tests.case import make_case
from tests.case_inputs import CANDIDATES, EVENTS, LENGTHS, REQUESTS, WIDTH

_PER_EVENT = {"history": ("inputs",), "event_outputs": True}
_ENCODERS = {
    "transformer_encoder": {"activation": "relu"},
    "causal_transformer_encoder": {"causal": True, "num_distances": 4},
}


def _activated(rng):
    return {
        "candidates": case_inputs.normal(rng, REQUESTS, CANDIDATES, WIDTH),
        "events": case_inputs.normal(rng, REQUESTS, EVENTS, WIDTH),
        "length": LENGTHS,
    }


def _timed(rng):
    ages = case_inputs.aged(rng)["age_seconds"].astype(np.int64)
    return {
        "inputs": case_inputs.normal(rng, REQUESTS, EVENTS, WIDTH),
        "event_time": 10**9 - ages,
        "length": LENGTHS,
    }


SEQUENCE_CASES = (
    make_case(
        "transformer_block",
        layers.TransformerBlock,
        case_inputs.history,
        num_heads=2,
        feedforward_dim=12,
        **_PER_EVENT,
    ),
    *(
        make_case(
            name,
            layers.TransformerEncoder,
            case_inputs.history,
            num_layers=2,
            num_heads=2,
            feedforward_dim=12,
            **more,
            **_PER_EVENT,
        )
        for name, more in _ENCODERS.items()
    ),
    make_case(
        "local_activation_unit",
        layers.LocalActivationUnit,
        _activated,
        hidden_units=(6, 5),
        history=("events",),
        candidates=("candidates",),
    ),
    make_case(
        "gated_recurrent_unit",
        layers.AttentionalGRU,
        case_inputs.history,
        units=5,
        **_PER_EVENT,
    ),
    make_case(
        "hstu_block",
        layers.HSTUBlock,
        _timed,
        num_heads=2,
        max_length=5,
        num_age_buckets=16,
        history=("inputs", "event_time"),
        event_outputs=True,
    ),
)
