"""Every public layer once or more, with inputs that show what it must do.

Whatever runs over all layers (tests/layers/test_every_layer.py) runs over
`CASES`; a layer that is missing here is a failing test.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from jd_tf import layers
from tests import case_inputs
from tests.case_inputs import CANDIDATES, EVENTS, LENGTHS, REQUESTS, WIDTH

__all__ = [
    "CANDIDATES",
    "CASES",
    "EVENTS",
    "LENGTHS",
    "REQUESTS",
    "WIDTH",
    "Case",
    "case_named",
]


@dataclass(frozen=True)
class Case:
    """One layer, ready to be made and called.

    Attributes:
        name: str. Names the test.
        create: callable. Makes the layer; takes `dtype` and the like.
        inputs: callable. Random generator to the call arguments, a dict in
            the order of `call`, whose values are arrays or dicts or tuples
            of them.
        history: tuple of str. Arguments with events on axis 1, of which
            argument `length` or else `LENGTHS` says how many are real.
        candidates: tuple of str. Arguments with candidates on axis 1, which
            the outputs follow.
        event_outputs: bool. Whether the outputs have events on axis 1.
        prepare: callable. Fills the built layer with what no training does.
    """

    name: str
    create: Callable[..., keras.layers.Layer]
    inputs: Callable[[np.random.Generator], dict]
    history: tuple = ()
    candidates: tuple = ()
    event_outputs: bool = False
    prepare: Callable[[keras.layers.Layer], None] | None = None


def _fill(item_ids):
    def fill(layer):
        rng = np.random.default_rng(3)
        vectors = case_inputs.normal(rng, len(item_ids), layer.dim)
        layer.assign(item_ids, vectors)

    return fill


def _case(name, layer, inputs, *args, laws=None, **settings):
    def create(**kwargs):
        return layer(*args, **settings, **kwargs)

    return Case(name, create, inputs, **(laws or {}))


_PER_EVENT = {"history": ("inputs",), "event_outputs": True}
_PER_CANDIDATE = {"candidates": ("inputs",)}
_BY_ID = {"candidates": ("ids",)}
_DECODER = {"history": ("memory",), "candidates": ("queries",)}
_MIXTURE = {"candidates": ("candidate_features",)}
_TRANSFER = {
    "history": ("vectors", "present", "gate_inputs"),
    "event_outputs": True,
}

CASES = (
    _case(
        "id_hashed", layers.IdEmbedding, case_inputs.numbers, 4, 9, laws=_BY_ID
    ),
    _case(
        "id_in_vocabulary",
        layers.IdEmbedding,
        case_inputs.numbers,
        4,
        vocabulary=(11, 12),
        laws=_BY_ID,
    ),
    _case(
        "word_hashed",
        layers.IdEmbedding,
        case_inputs.words,
        4,
        num_buckets=9,
        id_dtype="string",
        laws=_BY_ID,
    ),
    _case(
        "word_in_vocabulary",
        layers.IdEmbedding,
        case_inputs.words,
        4,
        vocabulary=("red", "blue"),
        id_dtype="string",
        embeddings_initializer="glorot_uniform",
        laws=_BY_ID,
    ),
    _case(
        "event_values",
        layers.EventWeights,
        case_inputs.detailed,
        3,
        # The ages of the case are up to two years.
        max_time_constant=1e8,
        laws={
            "history": ("details", "age_seconds", "amounts"),
            "event_outputs": True,
        },
    ),
    _case(
        "history_match",
        layers.IdOverlap,
        case_inputs.matched,
        laws={
            "history": ("history_ids", "values"),
            "candidates": ("candidate_ids",),
        },
    ),
    _case(
        "content_match",
        layers.ContentMatch,
        case_inputs.contents,
        6,
        2,
        laws={
            "history": ("history_vectors", "history_present", "values"),
            "candidates": ("candidate_vectors", "candidate_present"),
        },
    ),
    _case(
        "log_scaling",
        layers.LogScaling,
        case_inputs.amounts,
        laws=_PER_CANDIDATE,
    ),
    _case(
        "temporal_encoding",
        layers.TemporalEncoding,
        case_inputs.aged,
        5,
        num_age_buckets=16,
        laws={"history": ("inputs", "age_seconds"), "event_outputs": True},
    ),
    _case(
        "transformer_block",
        layers.TransformerBlock,
        case_inputs.history,
        num_heads=2,
        feedforward_dim=12,
        laws=_PER_EVENT,
    ),
    _case(
        "transformer_encoder",
        layers.TransformerEncoder,
        case_inputs.history,
        num_layers=2,
        num_heads=2,
        feedforward_dim=12,
        activation="relu",
        laws=_PER_EVENT,
    ),
    _case(
        "interest_crossing",
        layers.InterestCrossing,
        case_inputs.memory,
        laws={"history": ("memory",)},
    ),
    _case(
        "decoder",
        layers.TargetAttentionDecoder,
        case_inputs.decoded,
        2,
        laws=_DECODER,
    ),
    _case(
        "decoder_with_feedforward",
        layers.TargetAttentionDecoder,
        case_inputs.decoded,
        num_heads=4,
        feedforward_dim=12,
        laws=_DECODER,
    ),
    _case(
        "stacked_mlp",
        layers.StackedMLP,
        case_inputs.slices,
        units=(5, 3),
        activation="gelu",
        laws=_PER_CANDIDATE,
    ),
    _case(
        "shallow_mixture",
        layers.MixtureOfExperts,
        case_inputs.features,
        num_experts=3,
        expert_units=(7,),
        num_tasks=2,
        laws=_MIXTURE,
    ),
    _case(
        "deep_mixture",
        layers.MixtureOfExperts,
        case_inputs.features,
        num_experts=3,
        expert_units=(7, 6, 5),
        num_tasks=2,
        activation="gelu",
        laws=_MIXTURE,
    ),
    _case(
        "task_tower",
        layers.TaskTower,
        case_inputs.slices,
        num_tasks=2,
        units=(5,),
        laws=_PER_CANDIDATE,
    ),
    _case(
        "bias_tower",
        layers.BiasTower,
        case_inputs.places,
        num_values={"position": 7, "page": 3},
        units=(6, 4),
        num_outputs=2,
        laws=_PER_CANDIDATE,
    ),
    _case(
        "entire_space_logits",
        layers.EntireSpaceLogits,
        case_inputs.logits,
        given=(-1, 0, 1, -1),
        laws=_PER_CANDIDATE,
    ),
    _case(
        "personalized_fusion",
        layers.PersonalizedFusion,
        case_inputs.fused,
        num_objectives=4,
        units=(6,),
        activation="gelu",
        min_share=0.05,
        initial_shares=(1.0, 2.0, 3.0, 30.0),
    ),
    _case(
        "additive_personalized_fusion",
        layers.PersonalizedFusion,
        case_inputs.fused,
        num_objectives=4,
        units=(),
        form="additive",
        stop_session_gradient=False,
    ),
    _case(
        "global_fusion",
        layers.GlobalFusion,
        case_inputs.fused,
        num_objectives=4,
        max_scale=4.0,
        initial_shares=(4.0, 3.0, 2.0, 1.0),
    ),
    _case(
        "fixed_fusion",
        layers.FixedFusion,
        case_inputs.fused,
        objective_weights=(1.0, 0.0, 5.0, 20.0),
        form="additive",
    ),
    _case(
        "calibration_curve",
        layers.CalibrationCurve,
        case_inputs.logits,
        given=(-1, 0, 1, -1),
        num_knots=5,
        laws={**_PER_CANDIDATE, "prepare": case_inputs.bend},
    ),
    _case(
        "log_bucket_embedding",
        layers.LogBucketEmbedding,
        case_inputs.counted,
        num_features=2,
        embedding_dim=3,
        num_buckets=5,
        initial_scale=2.0,
        laws=_PER_CANDIDATE,
    ),
    _case(
        "fine_grained_behavior",
        layers.FineGrainedBehaviorEncoder,
        case_inputs.events,
        num_action_ids=5,
        embedding_dim=3,
        num_buckets=6,
        hidden_units=(10, 6),
        activation="gelu",
        laws={
            "history": (
                "inputs",
                "dwell_seconds",
                "action_counts",
                "action_ids",
            ),
            "event_outputs": True,
        },
    ),
    _case(
        "fine_grained_dwell",
        layers.FineGrainedBehaviorEncoder,
        case_inputs.dwelt,
        hidden_units=(),
        laws={"history": ("inputs", "dwell_seconds"), "event_outputs": True},
    ),
    _case(
        "vectors_by_number",
        layers.VectorTable,
        case_inputs.pictured,
        num_rows=6,
        dim=5,
        laws={**_BY_ID, "prepare": _fill(case_inputs.PICTURED_IDS)},
    ),
    _case(
        "vectors_by_word",
        layers.VectorTable,
        case_inputs.pictured_words,
        num_rows=3,
        dim=5,
        id_dtype="string",
        laws={**_BY_ID, "prepare": _fill(case_inputs.PICTURED_WORDS)},
    ),
    _case(
        "image_transfer",
        layers.MultiGateImageTransfer,
        case_inputs.images,
        output_dim=4,
        num_experts=3,
        num_consumers=2,
        hidden_units=(6,),
        laws=_TRANSFER,
    ),
    _case(
        "deep_image_transfer",
        layers.MultiGateImageTransfer,
        case_inputs.images,
        output_dim=4,
        num_experts=2,
        hidden_units=(6, 5),
        activation="gelu",
        laws=_TRANSFER,
    ),
    _case(
        "text_encoder",
        layers.TextEncoder,
        case_inputs.titles,
        embedding_dim=4,
        num_buckets=50,
        max_tokens=6,
        laws={"candidates": ("texts",)},
    ),
)


def case_named(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)
