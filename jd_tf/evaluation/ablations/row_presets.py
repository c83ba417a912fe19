"""Sets of rows that ask the usual questions, and what they need of data."""

from collections.abc import Callable

from jd_tf.evaluation.ablations.rows import Row
from jd_tf.schema import Schema

_PLACE = {"use_position": False, "use_recency": False}
_DETAIL = {
    "use_dwell": False,
    "use_action_counts": False,
    "use_action_ids": False,
}
_SECOND = {"use_second_order": False}
_IMAGES = {"use_images": ""}
_TITLES = {"use_titles": False}
_TRANSFER = {"use_images": "transfer"}

PRESETS: dict[str, tuple[Row, ...]] = {
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
        Row("+ images transferred", _TRANSFER),
    ),
    "titles": (
        Row("base", _TITLES),
        Row("+ titles", {"use_titles": True}),
    ),
}

# A ladder: every group of rows stands on the fullest row of the one before.
_NOTHING = {**_PLACE, **_SECOND, **_DETAIL, **_IMAGES, **_TITLES}
_TEMPORAL = {**_NOTHING, **dict.fromkeys(_PLACE, True)}
_CROSSED = {**_TEMPORAL, "use_second_order": True}
_DETAILED = {**_CROSSED, **dict.fromkeys(_DETAIL, True)}
_SEEN = {**_DETAILED, **_TRANSFER}
PRESETS["all"] = (
    *(Row(r.name, {**_NOTHING, **r.changes}) for r in PRESETS["temporal"]),
    Row("+ second order", _CROSSED, "+ position and recency"),
    *(
        Row(r.name, {**_CROSSED, **r.changes}, "+ second order")
        for r in PRESETS["fine_grained"][1:]
    ),
    *(
        Row(r.name, {**_DETAILED, **r.changes}, "+ all fine-grained")
        for r in PRESETS["images"][1:]
    ),
    Row("+ titles", {**_SEEN, "use_titles": True}, "+ images transferred"),
)

# Further pairs worth a line of their own, where both rows are there.
CONTRASTS = (
    ("+ position and recency", "+ position"),
    ("+ position and recency", "+ recency"),
    ("+ all fine-grained", "+ dwell"),
    ("+ images transferred", "+ images concatenated"),
)

_NEEDS: dict[str, tuple[str, Callable[[Schema, bool], bool]]] = {
    "use_dwell": (
        "a behaviour with dwell times",
        lambda schema, _: any(b.dwell for b in schema.behaviors),
    ),
    "use_action_counts": (
        "a behaviour with action counters",
        lambda schema, _: any(b.action_counters for b in schema.behaviors),
    ),
    "use_action_ids": (
        "a behaviour with action ids",
        lambda schema, _: any(b.action_slots for b in schema.behaviors),
    ),
    "use_images": ("item vectors", lambda _, vectors: vectors),
    "use_titles": (
        "a text column such as `title`",
        lambda schema, _: any(
            getattr(column, "text", False) for column in schema.item_columns
        ),
    ),
}


def missing_data(row: Row, schema: Schema, vectors: bool) -> list[str]:
    """What a row switches on that the data cannot feed.

    Such a row would repeat the row it is compared with, or fail after it has
    been waited for.

    Args:
        row: its changes.
        schema: of the data.
        vectors: whether there are item vectors.

    Returns:
        Words to put after "needs"; empty if nothing is missing.
    """
    return [
        words
        for field, (words, has) in _NEEDS.items()
        if row.changes.get(field) and not has(schema, vectors)
    ]


def possible_rows(
    rows: tuple[Row, ...], schema: Schema, vectors: bool
) -> tuple[tuple[Row, ...], list[str]]:
    """Rows the data can feed, and a sentence on each that was changed.

    A group of switches of which the data feeds some keeps those: what cannot
    be fed is switched off, and rows that then repeat another are left out.

    Args:
        rows: of a preset.
        schema: of the data.
        vectors: whether there are item vectors.
    """
    kept: list[Row] = []
    said: list[str] = []
    stands_for: dict[str, str] = {}
    for row in rows:
        missing = missing_data(row, schema, vectors)
        off = {
            field: "" if isinstance(row.changes[field], str) else False
            for field, (words, _) in _NEEDS.items()
            if words in missing
        }
        changes = {**row.changes, **off}
        same = [other for other in kept if other.changes == changes]
        lacks = f"{' and '.join(missing)}, which the data lacks"
        if same:
            stands_for[row.name] = same[0].name
            said.append(
                f"`{row.name}` is left out: without {lacks}, it equals "
                f"`{same[0].name}`."
            )
            continue
        if missing:
            said.append(f"`{row.name}` goes without {lacks}.")
        against = stands_for.get(row.against, row.against)
        kept.append(Row(row.name, changes, against))
    return tuple(kept), said
