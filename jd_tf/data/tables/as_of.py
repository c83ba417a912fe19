"""Sums and rows as of a moment, by window functions alone.

Facts and questions go into one table, in the order of time, over which sums
run: every engine can do that, and in linear time after a sort. As-of joins
differ between engines, and Spark has none.
"""

from collections.abc import Sequence

import ibis


def sums_before(
    facts: ibis.Table,
    questions: ibis.Table,
    keys: Sequence[str],
    values: Sequence[str],
) -> ibis.Table:
    """Adds sums of what came before each question.

    Args:
        facts: the keys, `at` and whole-number values.
        questions: the keys, `at` and other columns.
        keys: columns that must be equal; none for all facts.
        values: columns of the facts that are summed.

    Returns:
        The questions, and the sum of each value over the facts of the same
        keys strictly before `at`.
    """
    carried = [c for c in questions.columns if c not in (*keys, "at")]
    nothing = {c: ibis.null(questions[c].type()) for c in carried}
    zeros = {value: ibis.literal(0, "int64") for value in values}
    names = [*keys, "at", *values, *carried, "is_fact"]
    left = facts.mutate(is_fact=ibis.literal(1, "int8"), **nothing)
    right = questions.mutate(is_fact=ibis.literal(0, "int8"), **zeros)
    both = ibis.union(left.select(names), right.select(names))
    # Questions first: what happens at their very moment is not before it.
    window = ibis.cumulative_window(
        group_by=list(keys) or None, order_by=["at", "is_fact"]
    )
    sums = {value: both[value].sum().over(window) for value in values}
    summed = both.mutate(**sums)
    return summed.filter(summed.is_fact == 0).drop("is_fact")


def first_rows(
    table: ibis.Table, keys: Sequence[str], order: Sequence[str]
) -> ibis.Table:
    """Numbers the rows of the same keys from 1 on, as `version`."""
    window = ibis.window(group_by=list(keys), order_by=list(order))
    return table.mutate(version=ibis.row_number().over(window) + 1)


def join_left(
    table: ibis.Table,
    other: ibis.Table,
    keys: Sequence[str],
    values: Sequence[str],
) -> ibis.Table:
    """Adds values of the row of `other` with the same keys, or nulls."""
    renamed = other.select(*values, **{f"_{key}": key for key in keys})
    on = [table[key] == renamed[f"_{key}"] for key in keys]
    return table.left_join(renamed, on).select(*table.columns, *values)


def attributes_as_of(
    table: ibis.Table,
    attributes: ibis.Table,
    key: str,
    time: str,
    names: Sequence[str],
) -> ibis.Table:
    """Adds the attributes that were valid at a time, or nulls.

    Args:
        table: has the key and the time.
        attributes: has the key, the names and maybe `valid_from`; without it
            they were always as they are. Of equal rows the first in the order
            of their values counts.
        key: `item` or `user`.
        time: column of the table.
        names: of the attributes.
    """
    plain = [
        c for c in attributes.columns if not attributes[c].type().is_array()
    ]
    if "valid_from" not in attributes.columns:
        rows = first_rows(attributes, [key], plain)
        rows = rows.filter(rows.version == 1)
        return join_left(table, rows, [key], names)
    # One version a moment; then a version is the number of those so far.
    distinct = first_rows(attributes, [key, "valid_from"], plain)
    distinct = distinct.filter(distinct.version == 1).drop("version")
    rows = first_rows(distinct, [key], ["valid_from"])
    facts = rows.select(
        key, at=rows.valid_from, number=ibis.literal(1, "int64")
    )
    moments = table.select(key, at=table[time] + 1).distinct()
    found = sums_before(facts, moments, [key], ["number"])
    versions = found.select(
        key, moment=found["at"] - 1, version=found.number.cast("int64")
    )
    asked = join_left(
        table.mutate(moment=table[time]), versions, [key, "moment"], ["version"]
    )
    joined = join_left(asked, rows, [key, "version"], names)
    return joined.drop("moment", "version")
