"""Sets of rows for the usual questions, and the data they need."""

from typing import Any

from jd_tf.evaluation.ablations.rows import Row
from jd_tf.schema import Schema

_PLACE = {"use_position": False, "use_recency": False}
_DETAIL = dict.fromkeys(
    ("use_dwell", "use_action_counts", "use_action_ids"), False
)
_IMAGES, _TITLES = {"use_images": ""}, {"use_titles": False}

ROW_PRESETS: dict[str, tuple[Row, ...]] = {
    "temporal": (
        Row("base", _PLACE),
        Row("+ position", {**_PLACE, "use_position": True}),
        Row("+ recency", {**_PLACE, "use_recency": True}),
        Row("+ position and recency", dict.fromkeys(_PLACE, True)),
    ),
    "fine_grained": (
        Row("base", _DETAIL),
        Row("+ dwell", {**_DETAIL, "use_dwell": True}),
        Row("+ counts", {**_DETAIL, "use_action_counts": True}),
        Row("+ action ids", {**_DETAIL, "use_action_ids": True}),
        Row("+ all fine-grained", dict.fromkeys(_DETAIL, True)),
    ),
    "images": (
        Row("base", _IMAGES),
        Row("+ images concatenated", {"use_images": "concat"}),
        Row("+ images transferred", {"use_images": "transfer"}),
    ),
    "titles": (Row("base", _TITLES), Row("+ titles", {"use_titles": True})),
    "sequence": (
        Row("base", {"use_sequence": False}),
        Row("+ sequence part", {"use_sequence": True}),
    ),
}


def _ladder() -> tuple[Row, ...]:
    """Returns every group of rows on top of the fullest row before it."""
    temporal, details, images, titles, _ = ROW_PRESETS.values()
    below: dict[str, Any] = {**_PLACE, "use_second_order": False}
    below |= {**_DETAIL, **_IMAGES, **_TITLES}
    rows = [Row(row.name, {**below, **row.changes}) for row in temporal]
    second_order = Row("+ second order", {"use_second_order": True})
    groups = ([second_order], details[1:], images[1:], titles[1:])
    for group in groups:
        top = rows[-1]
        for row in group:
            rows.append(Row(row.name, {**top.changes, **row.changes}, top.name))
    return tuple(rows)


ROW_PRESETS["all"] = _ladder()

# Further comparisons, shown where both rows are there.
CONTRASTS = (
    ("+ position and recency", "+ position"),
    ("+ position and recency", "+ recency"),
    ("+ all fine-grained", "+ dwell"),
    ("+ images transferred", "+ images concatenated"),
)


def missing_data(row: Row, schema: Schema, vectors: bool) -> dict[str, str]:
    """Returns field -> the data it needs, in words, if the data lack it."""
    dwell, counters, slots, dense = (
        any(getattr(behavior, field) for behavior in schema.behaviors)
        for field in ("dwell", "action_counters", "action_slots", "item_dense")
    )
    titled = any(column.text for column in schema.item_columns)
    needs = {
        "use_dwell": (dwell, "a behaviour with dwell times"),
        "use_action_counts": (counters, "a behaviour with action counters"),
        "use_action_ids": (slots, "a behaviour with action ids"),
        "use_item_dense": (dense, "a behaviour with `item_dense`"),
        "use_images": (vectors, "item vectors"),
        "use_titles": (titled, "a text column such as `title`"),
    }
    missing = {}
    for field, value in row.changes.items():
        there, words = needs.get(field.rpartition(".")[2], (True, ""))
        if value and not there:
            missing[field] = words
    return missing


def possible_rows(
    rows: tuple[Row, ...], schema: Schema, vectors: bool
) -> tuple[tuple[Row, ...], list[str]]:
    """Returns the rows the data can feed, and a note on each changed row."""
    kept: list[Row] = []
    notes: list[str] = []
    equals: dict[str, str] = {}
    for row in rows:
        missing = missing_data(row, schema, vectors)
        off = {field: type(row.changes[field])() for field in missing}
        changes = {**row.changes, **off}
        lacks = f"{' and '.join(missing.values())}, which the data lacks"
        same = [other.name for other in kept if other.changes == changes]
        if same:
            equals[row.name] = same[0]
            notes.append(
                f"`{row.name}` is left out: without {lacks}, it equals "
                f"`{same[0]}`."
            )
            continue
        if missing:
            notes.append(f"`{row.name}` goes without {lacks}.")
        against = equals.get(row.against, row.against)
        kept.append(Row(row.name, changes, against))
    return tuple(kept), notes
