"""Rows of an ablation: reading, refusals by name, presets."""

import json

import pytest

from jd_tf.evaluation.ablations.row_presets import (
    ROW_PRESETS,
    missing_data,
    possible_rows,
)
from jd_tf.evaluation.ablations.rows import Row, load_rows, parse_rows, resolve
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import Behavior, DataError, IdColumn
from tests.requests import small_schema

PLAIN = small_schema(behaviors=(Behavior("click", max_length=4),))


def test_text_becomes_rows():
    first, second, third = parse_rows(
        "base: use_position=False, dropout_rate=0; "
        "+ time (against base): ; wide (against + time): tower_units=(8,4)"
    )
    assert first == Row("base", {"use_position": False, "dropout_rate": 0})
    assert second == Row("+ time", {}, "base")
    assert third.changes == {"tower_units": (8, 4)}
    assert third.against == "+ time"


def test_a_file_gives_the_same_rows(tmp_path):
    path = tmp_path / "rows.json"
    rows = [
        {"name": "base", "changes": {"tower_units": [8]}},
        {"name": "b", "against": "base"},
    ]
    path.write_text(json.dumps(rows))
    rows = load_rows(path)
    assert rows[1] == Row("b", {}, "base")
    assert resolve(rows[0], JDRankerConfig()).head.tower_units == (8,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one row"),
        ("base", "rows are written"),
        ("base: use_position", "changes are written field=value"),
        ("a: ; a: ", "the name `a`"),
        ("a b: ; A_b: ", "the folder name `a_b`"),
        ("a: ; b (against c): ", "`c`, which is no row; rows are: a, b"),
    ],
)
def test_unusable_rows_are_named(text, message):
    with pytest.raises(DataError, match=message):
        parse_rows(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ("{}", "must be a list"),
        ('[{"changes": {}}]', "row 0 must have `name`"),
        ('[{"name": "a", "change": {}}]', "row 0 must have `name`"),
    ],
)
def test_broken_files_are_named(tmp_path, content, message):
    path = tmp_path / "rows.json"
    with pytest.raises(DataError, match="no such file"):
        load_rows(path)
    path.write_text(content)
    with pytest.raises(DataError, match=rf"rows.json: {message}"):
        load_rows(path)


def test_a_row_resolves_to_the_base_with_its_changes():
    base = JDRankerConfig.of(model_dim=16)
    config = resolve(Row("a", {"use_recency": False}), base)
    assert config == JDRankerConfig.of(model_dim=16, use_recency=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("use_positions=True", "no field `use_positions`.*use_position"),
        ("use_position=1", "`use_position` must be bool. Got: 1"),
        ("model_dim=True", "`model_dim` must be int"),
        ("dropout_rate=much", "`dropout_rate` must be float"),
        ("tower_units=(8,'x')", "`tower_units` must be"),
        ("use_images=paint", "`use_images` must be one of"),
    ],
)
def test_changes_the_config_refuses_name_row_and_field(changes, message):
    (row,) = parse_rows(f"a: {changes}")
    with pytest.raises(DataError, match=f"row `a`: .*{message}"):
        resolve(row, JDRankerConfig())


@pytest.mark.parametrize("name", list(ROW_PRESETS))
def test_presets_differ_in_every_row_and_compare_with_rows(name):
    rows = ROW_PRESETS[name]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert all(not r.against or r.against in names for r in rows)
    changes = [row.changes for row in rows]
    assert all(changes.count(one) == 1 for one in changes)


def test_the_ladder_changes_one_group_a_step():
    rows = {row.name: row for row in ROW_PRESETS["all"]}
    for row in rows.values():
        below = rows[row.against or "base"].changes
        changed = {f for f in row.changes if row.changes[f] != below[f]}
        groups = {
            "detail"
            if f in ("use_dwell", "use_action_counts", "use_action_ids")
            else "time"
            if f in ("use_position", "use_recency")
            else f
            for f in changed
        }
        assert len(groups) == (row.name != "base")


def test_the_sequence_preset_is_with_and_without():
    base, whole = (
        resolve(row, JDRankerConfig()) for row in ROW_PRESETS["sequence"]
    )
    assert whole == JDRankerConfig()
    assert base == JDRankerConfig.of(use_sequence=False)


def test_rows_the_data_cannot_feed_are_left_out_or_reduced():
    rows, notes = possible_rows(ROW_PRESETS["all"], PLAIN, vectors=False)
    assert [row.name for row in rows] == [
        "base",
        "+ position",
        "+ recency",
        "+ position and recency",
        "+ second order",
    ]
    assert any("`+ dwell` is left out" in text for text in notes)
    half = small_schema(
        behaviors=(Behavior("click", max_length=4, dwell=True),)
    )
    rows, notes = possible_rows(
        ROW_PRESETS["fine_grained"], half, vectors=False
    )
    assert [row.name for row in rows] == ["base", "+ dwell"]
    rows, notes = possible_rows(
        ROW_PRESETS["all"], small_schema(), vectors=True
    )
    assert rows[-1].name == "+ images transferred"
    assert len(notes) == 1


def test_a_row_that_stood_on_one_left_out_stands_on_what_equals_it():
    columns = small_schema().item_columns
    title = IdColumn("title", dtype="string", num_buckets=100, text=True)
    titled = small_schema(item_columns=(*columns, title))
    rows, notes = possible_rows(ROW_PRESETS["all"], titled, vectors=False)
    assert rows[-1].name == "+ titles"
    assert rows[-1].against == "+ all fine-grained"
    assert rows[-1].changes["use_images"] == ""
    assert rows[-1].changes["use_titles"]
    assert len(notes) == 3


def test_missing_data_is_put_in_words():
    row = Row("a", {"use_dwell": True, "use_images": "concat"})
    assert missing_data(row, PLAIN, vectors=False) == {
        "use_dwell": "a behaviour with dwell times",
        "use_images": "item vectors",
    }
    assert missing_data(row, small_schema(), vectors=True) == {}
    dotted = Row("a", {"sequence.use_dwell": True})
    assert list(missing_data(dotted, PLAIN, True)) == ["sequence.use_dwell"]
