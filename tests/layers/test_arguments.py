"""Errors name the argument of a layer and the value it was given."""

import numpy as np
import pytest

from jd_tf import layers

# Of each layer good arguments, then bad ones and their messages.
WRONG = {
    layers.FineGrainedBehaviorEncoder: (
        {},
        ({"num_action_ids": -1}, "`num_action_ids`.* Got: -1"),
        ({"embedding_dim": 0}, "`embedding_dim`.* Got: 0"),
        ({"num_buckets": 1}, "`num_buckets`.* Got: 1"),
        ({"hidden_units": (0,)}, r"`hidden_units\[0\]`.* Got: 0"),
        ({"dropout_rate": 1.0}, "`dropout_rate`.* Got: 1.0"),
    ),
    layers.IdEmbedding: (
        {"embedding_dim": 4},
        ({"embedding_dim": 0, "num_buckets": 9}, "`embedding_dim`.* Got: 0"),
        ({}, "exactly one of `num_buckets` and `vocabulary`"),
        ({"num_buckets": 9, "vocabulary": (1,)}, "num_buckets=9 and 1 ids"),
        ({"num_buckets": 1}, "`num_buckets` must be an integer >= 2. Got: 1"),
        ({"num_buckets": -4}, "`num_buckets`.* Got: -4"),
        ({"num_buckets": 9, "id_dtype": "int32"}, "Got: 'int32'"),
        ({"vocabulary": (3, 0)}, "padding.* Got: 0"),
        ({"vocabulary": (3, "a")}, "int64 ids.* Got: 'a'"),
        ({"vocabulary": ("a", ""), "id_dtype": "string"}, "Got: ''"),
        ({"vocabulary": (3, 4, 3)}, "Got twice: 3"),
        ({"num_buckets": 9, "pooling": "max"}, "`pooling`.* Got: 'max'"),
    ),
    layers.LogBucketEmbedding: (
        {"num_features": 1, "embedding_dim": 2},
        ({"num_features": 0}, "`num_features`.* Got: 0"),
        ({"embedding_dim": 0}, "`embedding_dim`.* Got: 0"),
        ({"num_buckets": 1}, "`num_buckets` must be an integer >= 2. Got: 1"),
        ({"max_value": 0.0}, "`max_value` must be positive.* Got: 0.0"),
        ({"max_value": np.inf}, "`max_value` .* finite. Got: inf"),
        ({"initial_scale": -1.0}, "`initial_scale` .* Got: -1.0"),
        ({"initial_scale": np.nan}, "`initial_scale` .* Got: nan"),
    ),
    layers.MixtureOfExperts: (
        {
            "num_experts": 2,
            "expert_units": (8,),
            "num_tasks": 2,
        },
        ({"num_experts": 0}, "`num_experts`.* Got: 0"),
        ({"num_tasks": 0}, "`num_tasks`.* Got: 0"),
        ({"expert_units": ()}, r"`expert_units` .* at least 1 .* Got: \(\)"),
        ({"expert_units": 64}, "`expert_units` must be a tuple.* Got: 64"),
        ({"expert_units": (8, 0)}, r"`expert_units\[1\]`.* Got: 0"),
        ({"dropout_rate": 2}, "`dropout_rate`.* Got: 2"),
    ),
    layers.MultiGateImageTransfer: (
        {"output_dim": 4},
        ({"output_dim": 0}, "`output_dim`.* Got: 0"),
        ({"num_experts": 0}, "`num_experts`.* Got: 0"),
        ({"num_gates": 0}, "`num_gates`.* Got: 0"),
        ({"hidden_units": ()}, "`hidden_units` must name at least 1"),
    ),
    layers.TargetAttentionDecoder: (
        {"num_heads": 2},
        ({"num_heads": 0}, "`num_heads`.* Got: 0"),
        ({"feedforward_dim": -1}, "`feedforward_dim`.* Got: -1"),
        ({"dropout_rate": -0.1}, "`dropout_rate`.* Got: -0.1"),
    ),
    layers.TemporalEncoding: (
        {"max_length": 4},
        ({"max_length": 0}, "`max_length`.* Got: 0"),
        ({"num_age_buckets": 1}, "`num_age_buckets`.* >= 2. Got: 1"),
        ({"max_age_seconds": 0.0}, "`max_age_seconds`.* Got: 0.0"),
        ({"max_age_seconds": float("inf")}, "`max_age_seconds`.* Got: inf"),
        ({"use_position": False, "use_recency": False}, "both False"),
    ),
    layers.TextEncoder: (
        {"embedding_dim": 2, "num_buckets": 9},
        ({"embedding_dim": 0}, "`embedding_dim`.* Got: 0"),
        ({"num_buckets": 0}, "`num_buckets`.* Got: 0"),
        ({"max_tokens": 0}, "`max_tokens`.* Got: 0"),
    ),
    layers.TransformerEncoder: (
        {
            "num_layers": 1,
            "num_heads": 2,
            "feedforward_dim": 8,
        },
        ({"num_layers": 0}, "`num_layers`.* Got: 0"),
        ({"num_heads": 1.5}, "`num_heads`.* Got: 1.5"),
        ({"feedforward_dim": -1}, "`feedforward_dim`.* Got: -1"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\). Got: 1"),
    ),
    layers.VectorTable: (
        {"num_rows": 3, "dim": 2},
        ({"num_rows": 0}, "`num_rows` must be an integer >= 1. Got: 0"),
        ({"dim": 0}, "`dim` must be an integer >= 1. Got: 0"),
        ({"id_dtype": "int32"}, "`id_dtype` .* Got: 'int32'"),
    ),
}
MADE = [
    (lambda: layers.CalibrationCurve(()), "`given` must name an objective"),
    (lambda: layers.CalibrationCurve((0,)), r"`given\[0\]` must be -1 or"),
    (
        lambda: layers.CalibrationCurve((-1,), num_knots=1),
        "`num_knots`.*Got: 1",
    ),
    (
        lambda: layers.CalibrationCurve((-1, 0))(np.zeros((2, 3), "float32")),
        r"2 logits .* Got: \(2, 3\)",
    ),
    (lambda: layers.PersonalizedFusion(0), "`num_objectives`.*Got: 0"),
    (
        lambda: layers.GlobalFusion(2, form="max"),
        "`form` must be one of.*'max'",
    ),
    (lambda: layers.GlobalFusion(2, min_share=0.5), "1 / T = 0.5, exclusive"),
    (lambda: layers.GlobalFusion(2, min_share=0.0), "between 0 and .*Got: 0"),
    (lambda: layers.GlobalFusion(2, max_scale=0.5), "`max_scale`.*Got: 0.5"),
    (lambda: layers.GlobalFusion(2, initial_shares=(1, 0)), "must be positive"),
    (lambda: layers.GlobalFusion(2, initial_shares=(1,)), "must be 2 finite"),
    (lambda: layers.PersonalizedFusion(2, units=(0,)), r"`units\[0\]`"),
    (lambda: layers.FixedFusion(()), "`num_objectives`.*Got: 0"),
    (lambda: layers.FixedFusion((0.0, 0.0)), "not all of them 0"),
    (lambda: layers.FixedFusion((1.0, np.nan)), "finite"),
    (lambda: layers.FixedFusion((1.0, -1.0)), ">= 0"),
    (lambda: layers.StackedMLP(()), "`units` must name at least 1"),
    (lambda: layers.StackedMLP("64"), "`units` must be a tuple.* Got: '64'"),
    (
        lambda: layers.StackedMLP((4,), dropout_rate=1),
        "`dropout_rate`.* Got: 1",
    ),
    (
        lambda: layers.StackedMLP((4,)).build((None, None, 8)),
        r"must be known. Got: \(None, None, 8\)",
    ),
    (lambda: layers.TaskTower(0), "`num_tasks`.* Got: 0"),
    (
        lambda: layers.TaskTower(2).build((None, None, 3, 8)),
        r"`num_tasks`=2 slices .* Got: \(None, None, 3, 8\)",
    ),
    (lambda: layers.BiasTower({}, (4,), 1), "`num_values` must be a dict"),
    (
        lambda: layers.BiasTower({"page": 0}, (4,), 1),
        r"`num_values\['page'\]`.* Got: 0",
    ),
    (
        lambda: layers.BiasTower({"page": 2}, (), 1),
        "`units` must name at least",
    ),
    (lambda: layers.BiasTower({"page": 2}, (4,), 0), "`num_outputs`.* Got: 0"),
    (
        lambda: layers.BiasTower({"page": 2}, (4,), 1).build({"place": (1, 2)}),
        r"the column\(s\) \['page'\]. Got: \['place'\]",
    ),
    (lambda: layers.ContentMatch(6, 4), "multiple of `num_heads`"),
    (
        lambda: layers.ContentMatch().build((1, 2, 8), (1, 3, 4)),
        r"one width\. Got: 8 and 4",
    ),
    (
        lambda: layers.IdOverlap().build((1, 2, 2), (1, 3, 3)),
        r"same id columns.* 2 and 3\.",
    ),
    (lambda: layers.EventWeights(2, 0.0, 1.0), "Time constants must be pos"),
    (lambda: layers.EventWeights(2, 2.0, 1.0), "Time constants must be pos"),
    (lambda: layers.EventWeights(2, 1.0, np.inf), "Time constants .* finite"),
    (lambda: layers.EntireSpaceLogits(()), "`given` must name an objective"),
    (
        lambda: layers.EntireSpaceLogits((0,)),
        r"`given\[0\]` must be -1 or .* earlier .* Got: 0",
    ),
    (
        lambda: layers.EntireSpaceLogits((-1, 2, 0)),
        r"`given\[1\]` must be .* Got: 2",
    ),
    (
        lambda: layers.EntireSpaceLogits((-1, -2)),
        r"`given\[1\]` must be an integer >= -1. Got: -2",
    ),
    (
        lambda: layers.EntireSpaceLogits((-1, "click")),
        r"`given\[1\]`.* Got: 'click'",
    ),
    (
        lambda: layers.EntireSpaceLogits((-1, 0)).build((1, 3)),
        r"2 logits .* Got: \(1, 3\)",
    ),
    (
        lambda: layers.TransformerBlock(3, 8).build((None, None, 8)),
        "`num_heads`=3",
    ),
    (
        lambda: layers.LogBucketEmbedding(2, 4).build((5, 3)),
        r"takes 2 feature.* Got: 3\.",
    ),
]


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (layer, {**good, **bad}, message)
        for layer, (good, *wrong) in WRONG.items()
        for bad, message in wrong
    ],
)
def test_wrong_arguments_are_named(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


@pytest.mark.parametrize(("make", "message"), MADE)
def test_wrong_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
