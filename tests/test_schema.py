"""The schema: derivation of columns, JSON, refusals by name."""

import dataclasses

import pytest

from jd_tf.schema import (
    SERVING_ROLES,
    TRAINING_ROLES,
    Behavior,
    BiasColumn,
    IdColumn,
    Objective,
    Role,
    ScenarioValues,
    Schema,
    SchemaError,
)
from tests.requests import AMOUNTS, small_schema


def test_columns_are_those_of_the_contract():
    columns = {c.name: c for c in small_schema().columns()}
    assert columns["click_item_id"].shape == (None, None)
    assert columns["click_item_id"].dtype == "int64"
    assert columns["click_brand_id"].dtype == "string"
    assert columns["click_action_counts"].shape == (None, None, 2)
    assert columns["click_tag_id"].shape == (None, None, 3)
    assert columns["tag_id"].axes == "BNM"
    assert columns["click_length"].shape == (None,)
    assert columns["click_length"].dtype == "int32"
    assert columns["order_item_id"].length == "order_length"
    assert "order_dwell_seconds" not in columns
    assert columns["labels"].shape == (None, None, 3)
    assert columns["session_dense"].shape == (None, 3)
    assert columns["position"].dtype == "int32"


def test_serving_sees_no_training_columns():
    names = {c.name for c in small_schema().columns(*SERVING_ROLES)}
    assert not names & {"labels", "label_weights", "position", "user_id"}
    assert {"click_length", "num_candidates", "item_dense"} <= names


def test_oracle_and_reward_only_where_there_are_some():
    assert not small_schema().columns(Role.ORACLE, Role.REWARD)
    schema = small_schema(oracle=True, reward=True)
    names = [c.name for c in schema.columns(Role.ORACLE, Role.REWARD)]
    assert names == ["reward", "oracle_probabilities", "oracle_relevance"]


def test_json_round_trip(tmp_path):
    schema = small_schema(oracle=True, linear_dense=("age", "carts"))
    schema.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == schema
    assert schema.linear_indices(schema.item_dense) == (1,)
    assert schema.linear_indices(schema.session_dense) == (1,)


def with_scenarios(**changes):
    values = (ScenarioValues(2, (0, 9, 90.0)),)
    return small_schema(
        **{
            "scenario_column": "scenario",
            "scenario_values": values,
            "oracle_names": ("intent",),
            **changes,
        }
    )


def test_scenarios_have_values_of_their_own_also_from_json(tmp_path):
    with_scenarios().save(tmp_path / "schema.json")
    schema = Schema.load(tmp_path / "schema.json")
    assert schema == with_scenarios()
    assert hash(schema) == hash(with_scenarios())
    assert schema.scenarios == (1, 2, 3)
    assert schema.values_in(2) == (0.0, 9.0, 90.0)
    assert schema.values_in(1) == schema.objective_values
    assert small_schema().scenarios == ()


def test_a_schema_of_before_has_no_scenarios():
    fields = small_schema().to_json()
    for name in ("scenario_column", "scenario_values", "oracle_names"):
        del fields[name]
    assert Schema.from_json(fields) == small_schema()


def test_hidden_facts_are_dropped_unless_asked_for():
    schema = with_scenarios()
    assert [c.name for c in schema.columns(Role.ORACLE)] == ["oracle_intent"]
    served = {c.name for c in schema.columns(*TRAINING_ROLES)}
    assert "oracle_intent" not in served
    # They move no tensor that a model reads, so models go on working.
    small_schema().check_same(with_scenarios(scenario_values=()), "data")
    with pytest.raises(SchemaError, match="scenario_values"):
        small_schema().check_same(schema, "data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario_column": "page_type"}, "Got: 'page_type'"),
        ({"scenario_column": ""}, "needs a `scenario_column`"),
        ({"scenario_values": (ScenarioValues(4, (1, 1, 1)),)}, "Got: 4"),
        ({"scenario_values": (ScenarioValues(1, (1, 1)),)}, "must be 3"),
        ({"scenario_values": (ScenarioValues(1, (1, 1, -1)),)}, "-1.0"),
        (
            {"scenario_values": (ScenarioValues(1, (1, 1, 1)),) * 2},
            "another scenario",
        ),
    ],
)
def test_wrong_scenarios_are_named(changes, message):
    with pytest.raises(SchemaError, match=message):
        with_scenarios(**changes)


def test_kinds_of_objectives_are_kept(tmp_path):
    schema = small_schema(objectives=AMOUNTS)
    schema.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == schema
    assert schema.outcome_names == ("click", "order")
    assert schema.amount_names == ("dwell", "paid")
    # As programs wrote and read it that knew outcomes alone.
    fields = schema.to_json()["objectives"]
    assert ["kind" in one for one in fields] == [False, False, True, True]
    other = (*AMOUNTS[:2], Objective("dwell", 0.01, "click"), AMOUNTS[3])
    other = small_schema(objectives=other)
    with pytest.raises(SchemaError, match=r"`dwell`.*amount.* here"):
        schema.check_same(other, "data")


def test_objectives_know_what_they_are_given():
    schema = small_schema()
    assert schema.given_indices == (-1, 0, 0)
    assert schema.objective_values == (1.0, 5.0, 50.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IdColumn("item_id"), "`item_id` needs `num_buckets`"),
        (lambda: IdColumn("Item", num_buckets=9), "Got: 'Item'"),
        (lambda: IdColumn("x", "float32", 9), "Got: 'float32'"),
        (lambda: IdColumn("x", num_buckets=1), "at least 2"),
        (
            lambda: small_schema(
                behaviors=(Behavior("click", 9, item_dense=("age", "price")),)
            ),
            "`click`: `item_dense` must name some of .*'price', 'age'",
        ),
        (
            lambda: small_schema(
                behaviors=(Behavior("click", 9, item_dense=("weight",)),)
            ),
            "weight",
        ),
        (lambda: IdColumn("x", num_buckets=9, max_values=0), "Got: 0"),
        (lambda: IdColumn("x", num_buckets=9, pooling="max"), "Got: 'max'"),
        (
            lambda: IdColumn("x", "string", 9, text=True, max_values=2),
            "1 of a text",
        ),
        (
            lambda: small_schema(
                context_columns=(IdColumn("tag", num_buckets=9, max_values=2),)
            ),
            "`max_values` above 1. Got: \\['tag'\\]",
        ),
        (
            lambda: small_schema(
                item_columns=(IdColumn("item_id", num_buckets=9, max_values=2),)
            ),
            "Got: \\['item_id'\\]",
        ),
        (lambda: IdColumn("x", vocabulary=(0, 1)), "holds 0, which pads"),
        (
            lambda: IdColumn("title", "string", vocabulary=("a",), text=True),
            "`title`: a text has dtype string and `num_buckets`",
        ),
        (
            lambda: small_schema(
                context_columns=(IdColumn("q", "string", 9, text=True),)
            ),
            "only item columns after `item_id` can be texts",
        ),
        (
            lambda: small_schema(linear_dense=("age", "rate")),
            "`linear_dense` must name features of .* Got: 'rate'",
        ),
        (lambda: Behavior("click", 0), "Got: 0"),
        (lambda: Behavior("click", 5, action_slots=("a",)), "come together"),
        (lambda: BiasColumn("position", 0), "Got: 0"),
        (lambda: Objective("click", value=float("-inf")), "Got: -inf"),
        (lambda: small_schema(max_candidates=0), "Got: 0"),
        (lambda: small_schema(behaviors=()), "needs behaviours"),
        (
            lambda: small_schema(objectives=(Objective("a", given="b"),)),
            "`a`: `given` must name an earlier outcome. Got: 'b'",
        ),
        (lambda: Objective("paid", kind="price"), "`paid`: .*Got: 'price'"),
        (
            lambda: small_schema(objectives=AMOUNTS[::-1][2:] + AMOUNTS[2:3]),
            "Got: 'click'",
        ),
        (
            lambda: small_schema(objectives=(*AMOUNTS, Objective("like"))),
            "then the amounts. Got: .*`paid` .amount., `like` .binary.",
        ),
        (
            lambda: small_schema(objectives=(Objective("d", kind="amount"),)),
            "an outcome at least",
        ),
        *(
            (
                lambda name=name: small_schema(
                    objectives=(
                        *AMOUNTS,
                        Objective("tip", kind="amount", **{name: "paid"}),
                    )
                ),
                f"`tip`: `{name}` must name an earlier outcome. Got: 'paid'",
            )
            for name in ("given", "sample_space")
        ),
        (
            lambda: small_schema(objectives=(*AMOUNTS, AMOUNTS[3])),
            "named twice: paid",
        ),
        (
            lambda: small_schema(bias_columns=(BiasColumn("item_id", 3),)),
            "named twice: item_id",
        ),
        (
            lambda: small_schema(
                item_columns=(IdColumn("sku", num_buckets=5),)
            ),
            "must be `item_id`. Got: \\['sku'\\]",
        ),
        (lambda: small_schema().column("price"), "no column `price`"),
    ],
)
def test_malformed_schemas_are_refused(make, message):
    with pytest.raises(SchemaError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_candidates": 9}, "`max_candidates`: 9 here, 7 there"),
        ({"item_dense": ("price",)}, "`age`: missing here, age there"),
        (
            {"context_columns": (IdColumn("hour", num_buckets=31),)},
            "`hour`",
        ),
        ({"session_dense": ("carts", "clicks", "dwell")}, "order"),
    ],
)
def test_a_different_schema_is_refused_by_column(changes, named):
    with pytest.raises(SchemaError, match=named):
        small_schema(**changes).check_same(small_schema(), "the checkpoint")


def test_the_oracle_is_no_difference():
    small_schema(oracle=True).check_same(small_schema(), "the checkpoint")


def test_files_that_are_no_schema(tmp_path):
    path = tmp_path / "schema.json"
    with pytest.raises(SchemaError, match=r"schema\.json: no such"):
        Schema.load(path)
    for text, message in (("{", "not JSON"), ("[]", "not a schema")):
        path.write_text(text)
        with pytest.raises(SchemaError, match=message):
            Schema.load(path)
    path.write_text('{"name": "x", "colour": 3}')
    with pytest.raises(SchemaError, match="colour"):
        Schema.load(path)


def test_schemas_are_values():
    schema = small_schema()
    with pytest.raises(dataclasses.FrozenInstanceError):
        schema.name = "other"
    assert hash(schema) == hash(small_schema())
