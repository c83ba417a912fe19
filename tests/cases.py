"""Every public layer, with inputs that exercise it.

Tests of all layers (tests/layers/test_every_layer.py) run over `CASES` and
over the `BLOCK_CASES` of tests/block_cases.py; a public layer without a case
is a failing test.
"""

import numpy as np

from jd_tf import layers
from tests import case_inputs
from tests.case import Case, make_case
from tests.case_inputs import CANDIDATES, EVENTS, LENGTHS, REQUESTS, WIDTH
from tests.interaction_cases import INTERACTION_CASES
from tests.sequence_cases import SEQUENCE_CASES

__all__ = [
    "CANDIDATES",
    "CASES",
    "EVENTS",
    "LENGTHS",
    "REQUESTS",
    "WIDTH",
    "Case",
    "case_named",
    "make_case",
]


_PER_CANDIDATE = {"candidates": ("inputs",)}
_BY_ID = {"candidates": ("ids",)}
_DECODER = {"history": ("memory",), "candidates": ("queries",)}
_MIXTURE = {"candidates": ("candidate_features",)}
_TRANSFER = {
    "history": ("vectors", "present", "gate_inputs"),
    "event_outputs": True,
}

CASES = (
    *INTERACTION_CASES,
    *SEQUENCE_CASES,
    make_case(
        "id_hashed", layers.IdEmbedding, case_inputs.numbers, 4, 9, **_BY_ID
    ),
    make_case(
        "id_in_vocabulary",
        layers.IdEmbedding,
        case_inputs.numbers,
        4,
        vocabulary=(11, 12),
        **_BY_ID,
    ),
    make_case(
        "word_hashed",
        layers.IdEmbedding,
        case_inputs.words,
        4,
        num_buckets=9,
        id_dtype="string",
        **_BY_ID,
    ),
    make_case(
        "word_in_vocabulary",
        layers.IdEmbedding,
        case_inputs.words,
        4,
        vocabulary=("red", "blue"),
        id_dtype="string",
        embeddings_initializer="glorot_uniform",
        **_BY_ID,
    ),
    *(
        make_case(
            f"ids_pooled_by_{pooling}",
            layers.IdEmbedding,
            case_inputs.tagged,
            4,
            num_buckets=9,
            pooling=pooling,
            **_BY_ID,
        )
        for pooling in ("mean", "sum")
    ),
    make_case(
        "event_weights",
        layers.EventWeights,
        case_inputs.weighted,
        3,
        # The ages of the case are up to two years.
        max_time_constant=1e8,
        history=("event_features", "age_seconds", "numeric_features"),
        event_outputs=True,
    ),
    make_case(
        "id_overlap",
        layers.IdOverlap,
        case_inputs.overlapping,
        history=("history_ids", "event_weights"),
        candidates=("candidate_ids",),
    ),
    make_case(
        "pair_match",
        layers.PairMatch,
        case_inputs.paired,
        7,
        40,
        num_kinds=2,
        history=("history_ids", "event_weights"),
        candidates=("candidate_ids",),
        prepare=case_inputs.fill_pairs,
    ),
    make_case(
        "id_overlap_of_values",
        layers.IdOverlap,
        case_inputs.overlapping_values,
        max_values=(1, 3, 2),
        history=("history_ids", "event_weights"),
        candidates=("candidate_ids",),
    ),
    make_case(
        "content_match",
        layers.ContentMatch,
        case_inputs.embedded,
        6,
        2,
        history=("history_vectors", "history_present", "event_weights"),
        candidates=("candidate_vectors", "candidate_present"),
    ),
    make_case(
        "feature_normalization",
        layers.FeatureNormalization,
        case_inputs.numeric,
        linear=(1, 4),
        num_quantiles=5,
        max_value=2.0,
        **_PER_CANDIDATE,
        prepare=case_inputs.adapt,
    ),
    make_case(
        "feature_normalization_with_embedding",
        layers.FeatureNormalization,
        case_inputs.numeric,
        linear=(1, 4),
        num_quantiles=6,
        max_value=2.0,
        embedding_dim=3,
        **_PER_CANDIDATE,
        prepare=case_inputs.adapt,
    ),
    make_case(
        "temporal_encoding",
        layers.TemporalEncoding,
        case_inputs.aged,
        5,
        num_age_buckets=16,
        history=("inputs", "age_seconds"),
        event_outputs=True,
    ),
    make_case(
        "interest_crossing",
        layers.InterestCrossing,
        case_inputs.memory,
        history=("memory",),
    ),
    make_case(
        "decoder",
        layers.TargetAttentionDecoder,
        case_inputs.decoded,
        2,
        **_DECODER,
    ),
    make_case(
        "decoder_with_feedforward",
        layers.TargetAttentionDecoder,
        case_inputs.decoded,
        num_heads=4,
        feedforward_dim=12,
        **_DECODER,
    ),
    make_case(
        "stacked_mlp",
        layers.StackedMLP,
        case_inputs.slices,
        units=(5, 3),
        activation="gelu",
        **_PER_CANDIDATE,
    ),
    make_case(
        "shallow_mixture",
        layers.MixtureOfExperts,
        case_inputs.features,
        num_experts=3,
        expert_units=(7,),
        num_tasks=2,
        **_MIXTURE,
    ),
    make_case(
        "deep_mixture",
        layers.MixtureOfExperts,
        case_inputs.features,
        num_experts=3,
        expert_units=(7, 6, 5),
        num_tasks=2,
        activation="gelu",
        **_MIXTURE,
    ),
    make_case(
        "task_tower",
        layers.TaskTower,
        case_inputs.slices,
        num_tasks=2,
        units=(5,),
        **_PER_CANDIDATE,
    ),
    make_case(
        "bias_tower",
        layers.BiasTower,
        case_inputs.places,
        num_values={"position": 7, "page": 3},
        units=(6, 4),
        num_outputs=2,
        **_PER_CANDIDATE,
    ),
    make_case(
        "entire_space_logits",
        layers.EntireSpaceLogits,
        case_inputs.logits,
        given=(-1, 0, 1, -1),
        **_PER_CANDIDATE,
    ),
    make_case(
        "personalized_fusion",
        layers.PersonalizedFusion,
        case_inputs.fused,
        num_objectives=4,
        units=(6,),
        activation="gelu",
        min_share=0.05,
        initial_shares=(1.0, 2.0, 3.0, 30.0),
    ),
    make_case(
        "additive_personalized_fusion",
        layers.PersonalizedFusion,
        case_inputs.fused,
        num_objectives=4,
        units=(),
        form="additive",
        stop_session_gradient=False,
    ),
    make_case(
        "global_fusion",
        layers.GlobalFusion,
        case_inputs.fused,
        num_objectives=4,
        max_scale=4.0,
        initial_shares=(4.0, 3.0, 2.0, 1.0),
    ),
    make_case(
        "fixed_fusion",
        layers.FixedFusion,
        case_inputs.fused,
        objective_weights=(1.0, 0.0, 5.0, 20.0),
        form="additive",
    ),
    make_case(
        "calibration_curve",
        layers.CalibrationCurve,
        case_inputs.logits,
        given=(-1, 0, 1, -1),
        num_knots=5,
        **_PER_CANDIDATE,
        prepare=case_inputs.bend,
    ),
    make_case(
        "log_bucket_embedding",
        layers.LogBucketEmbedding,
        case_inputs.counted,
        num_features=2,
        embedding_dim=3,
        num_buckets=5,
        initial_scale=2.0,
        **_PER_CANDIDATE,
    ),
    make_case(
        "fine_grained_behavior",
        layers.FineGrainedBehaviorEncoder,
        case_inputs.events,
        num_action_ids=5,
        embedding_dim=3,
        num_buckets=6,
        hidden_units=(10, 6),
        activation="gelu",
        history=("inputs", "dwell_seconds", "action_counts", "action_ids"),
        event_outputs=True,
    ),
    make_case(
        "fine_grained_dwell",
        layers.FineGrainedBehaviorEncoder,
        case_inputs.dwelt,
        hidden_units=(),
        history=("inputs", "dwell_seconds"),
        event_outputs=True,
    ),
    make_case(
        "vectors_by_number",
        layers.VectorTable,
        case_inputs.pictured,
        num_rows=6,
        dim=5,
        **_BY_ID,
        prepare=case_inputs.fill_vectors(case_inputs.PICTURED_IDS),
    ),
    make_case(
        "vectors_by_word",
        layers.VectorTable,
        case_inputs.pictured_words,
        num_rows=3,
        dim=5,
        id_dtype="string",
        **_BY_ID,
        prepare=case_inputs.fill_vectors(case_inputs.PICTURED_WORDS),
    ),
    make_case(
        "image_transfer",
        layers.MultiGateImageTransfer,
        case_inputs.images,
        output_dim=4,
        num_experts=3,
        num_gates=2,
        hidden_units=(6,),
        **_TRANSFER,
    ),
    make_case(
        "deep_image_transfer",
        layers.MultiGateImageTransfer,
        case_inputs.images,
        output_dim=4,
        num_experts=2,
        hidden_units=(6, 5),
        activation="gelu",
        **_TRANSFER,
    ),
    make_case(
        "tree_ensemble",
        layers.TreeEnsemble,
        case_inputs.scored,
        given=(-1, 0, -1),
        num_trees=7,
        num_leaves=6,
        candidates=("numbers", "logits"),
        prepare=case_inputs.fill_trees,
    ),
    make_case(
        "id_ranks",
        layers.IdRanks,
        case_inputs.numbers,
        num_ids=3,
        candidates=("ids",),
        prepare=lambda layer: layer.adapt(np.array([11, 12, 13])),
    ),
    make_case(
        "text_encoder",
        layers.TextEncoder,
        case_inputs.titles,
        embedding_dim=4,
        num_buckets=50,
        max_tokens=6,
        candidates=("texts",),
    ),
)


def case_named(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)
