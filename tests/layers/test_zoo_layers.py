"""The layers that models of the zoo are made of, against loops in NumPy."""

import numpy as np
import pytest

from jd_tf import layers
from tests import interaction_references as reference
from tests.case_inputs import CANDIDATES, REQUESTS
from tests.interaction_cases import INTERACTION_CASES
from tests.layers import harness

_ORACLES = {
    layers.BilinearFusion: reference.bilinear_fusion,
    layers.CrossNetwork: reference.cross_network,
    layers.FactorizationMachine: reference.factorization_machine,
    layers.GateUnit: reference.gate_unit,
    layers.MaskBlock: reference.mask_block,
    layers.PartitionedNormalization: reference.partitioned_normalization,
    layers.ProgressiveExtraction: reference.progressive_extraction,
    layers.SplitMLP: reference.split_mlp,
    layers.StarMLP: reference.star_mlp,
}


@pytest.mark.parametrize("case", INTERACTION_CASES, ids=lambda case: case.name)
def test_equals_the_formula(case):
    layer, values = harness.make(case), harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    for request, place in np.ndindex(REQUESTS, CANDIDATES):
        given = [
            value[request, place] if name in case.candidates else value[request]
            for name, value in values.items()
        ]
        expected = _ORACLES[type(layer)](layer, *given)
        harness.assert_same([actual[request, place]], [expected], 1e-4)


def test_vectors_of_users_are_normalized_as_those_of_candidates():
    case = next(
        c for c in INTERACTION_CASES if c.name == "partitioned_normalization"
    )
    layer, values = harness.make(case), harness.arguments(case)
    users = {**values, "inputs": values["inputs"][:, 1]}
    (whole,) = harness.outputs(layer, values)
    harness.assert_same(harness.outputs(layer, users), [whole[:, 1]])


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (
            layers.FactorizationMachine(4, 2, 1),
            ((None, None, 7), (None, 4)),
            "`candidate_features` must hold 2 fields of width 4",
        ),
        (
            layers.BilinearFusion(2, num_heads=4),
            ((None, None, 8), (None, None, 6)),
            "`second` must be known and a multiple of",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.build(*shapes)
