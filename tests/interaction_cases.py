"""Cases of the layers that models of the zoo are made of."""

import numpy as np

from jd_tf import layers
from tests import case_inputs
from tests.case import make_case
from tests.case_inputs import CANDIDATES, REQUESTS, normal

_FEATURES = {"candidates": ("candidate_features",)}
SCENARIOS = np.array([2, 0, 7, 1])  # 7 counts as the last one


def _streams(rng):
    return {
        "first": normal(rng, REQUESTS, CANDIDATES, 4),
        "second": normal(rng, REQUESTS, CANDIDATES, 6),
    }


def _gated(rng):
    return {"inputs": normal(rng, REQUESTS, CANDIDATES, 5)}


def _of_scenarios(rng):
    return {**case_inputs.features(rng), "scenarios": SCENARIOS}


def _normalized(rng):
    return {**_gated(rng), "scenarios": SCENARIOS}


INTERACTION_CASES = (
    make_case(
        "split_networks",
        layers.SplitMLP,
        case_inputs.features,
        units=(7, 5, 3),
        num_networks=2,
        activation="gelu",
        last_activation="relu",
        **_FEATURES,
    ),
    make_case(
        "factorization_machine",
        layers.FactorizationMachine,
        case_inputs.features,
        dim=2,
        num_candidate_fields=3,
        num_user_fields=1,
        **_FEATURES,
    ),
    make_case(
        "cross_network",
        layers.CrossNetwork,
        case_inputs.features,
        num_layers=2,
        **_FEATURES,
    ),
    make_case(
        "cross_network_of_low_rank",
        layers.CrossNetwork,
        case_inputs.features,
        num_layers=3,
        rank=4,
        **_FEATURES,
    ),
    make_case(
        "mask_block",
        layers.MaskBlock,
        case_inputs.features,
        units=6,
        mask_units=7,
        **_FEATURES,
    ),
    make_case(
        "bilinear_fusion",
        layers.BilinearFusion,
        _streams,
        num_outputs=3,
        num_heads=2,
        candidates=("first", "second"),
    ),
    make_case(
        "gate_unit",
        layers.GateUnit,
        _gated,
        output_dim=4,
        hidden_dim=6,
        scale=3.0,
        candidates=("inputs",),
    ),
    make_case(
        "progressive_extraction",
        layers.ProgressiveExtraction,
        case_inputs.features,
        num_tasks=2,
        level_units=(6, 5, 4),
        num_task_experts=2,
        num_shared_experts=3,
        **_FEATURES,
    ),
    make_case(
        "star_mlp",
        layers.StarMLP,
        _of_scenarios,
        num_scenarios=3,
        units=(6, 4),
        activation="gelu",
        **_FEATURES,
    ),
    make_case(
        "partitioned_normalization",
        layers.PartitionedNormalization,
        _normalized,
        num_scenarios=3,
        candidates=("inputs",),
    ),
)
