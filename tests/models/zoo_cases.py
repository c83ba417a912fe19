"""Every model of the zoo, once: what tests/models/test_zoo.py runs over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.models import sequence_references as sequences
from tests.models import zoo_references as reference
from tests.models.zoo_references import of_features

_FIELDS = {"embedding_dim": 4, "hidden_units": (8, 6)}
_TOKENS = {
    "model_dim": 8,
    "item_embedding_dim": 4,
    "feature_embedding_dim": 4,
    "context_embedding_dim": 3,
}
_TOWERS = {**_TOKENS, "expert_units": (8, 6), "tower_units": (5,)}

_HEADS = {**_TOWERS, "num_heads": 2}
_BLOCKS = {**_HEADS, "feedforward_dim": 6, "num_layers": 2}


@dataclass(frozen=True)
class ZooCase:
    """A registered model, small, with its forward pass in NumPy.

    Attributes:
        name: under which it is registered.
        oracle: (model, request) -> probabilities (N, T) on the entire space;
            `request` has the served columns of one request, without padding.
        changes: of its config, by dotted or short names.
    """

    name: str
    oracle: Callable[[Any, dict], np.ndarray]
    changes: dict = field(default_factory=dict)


ZOO = (
    ZooCase("deep_fm", of_features(reference.deep_fm), _FIELDS),
    ZooCase("dcn_v2", of_features(reference.dcn_v2), {**_FIELDS, "rank": 5}),
    ZooCase(
        "mask_net",
        of_features(reference.mask_net),
        {**_FIELDS, "num_blocks": 2, "block_units": 5, "mask_units": 7},
    ),
    ZooCase(
        "final_mlp",
        of_features(reference.final_mlp),
        {**_FIELDS, "gate_units": 5, "num_heads": 2},
    ),
    ZooCase("shared_bottom", of_features(reference.shared_bottom), _TOWERS),
    ZooCase("pooled_mmoe", of_features(reference.pooled_mmoe), _TOWERS),
    ZooCase(
        "ple",
        of_features(reference.ple),
        {**_TOWERS, "num_task_experts": 1},
    ),
    ZooCase("esmm", of_features(reference.esmm), _TOWERS),
    ZooCase(
        "pepnet",
        of_features(reference.pepnet),
        {**_TOKENS, "hidden_units": (8, 6), "gate_units": 5},
    ),
    ZooCase(
        "star",
        of_features(reference.star),
        {**_TOKENS, "hidden_units": (8, 6), "auxiliary_units": (5,)},
    ),
    ZooCase("din", sequences.din, {**_TOWERS, "activation_units": (6, 5)}),
    ZooCase("dien", sequences.dien, _TOWERS),
    ZooCase("bst", sequences.bst, _BLOCKS),
    ZooCase("dmt", sequences.dmt, {**_BLOCKS, "num_experts": 2}),
    ZooCase("sas_rec", sequences.sas_rec, {**_BLOCKS, "max_events": 5}),
    ZooCase("hstu", sequences.hstu, _HEADS),
    ZooCase("one_trans", sequences.one_trans, _BLOCKS),
)
