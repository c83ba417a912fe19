"""What the comparison of spaces comes to, in numbers and sentences."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.pages import Highlight as Finding
from jd_tf.evaluation.pages import number, percent
from jd_tf.evaluation.similarity.catalogue import Likeness
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.evaluation.similarity.measures import (
    CATEGORY,
    Measure,
    Space,
    by_category,
)


def space_numbers(found: Sequence[Space], items: Likeness) -> dict[str, Any]:
    """Space -> measure -> numbers, nan where undefined.

    Args:
        found: the spaces; gains are over the first.
        items: they compare.
    """
    metrics: dict[str, Any] = {}
    for space in found:
        same, cross = space.counts.means
        asked = items.categories[space.neighbours.queries]
        shares = by_category(space.measures[CATEGORY], asked)
        metrics[space.name] = {
            "width": space.width,
            "cosine_same_category": same,
            "cosine_cross_category": cross,
            "separation": space.counts.separation,
            "neighbours": {
                name: {
                    "mean": measure.mean,
                    "standard_error": measure.standard_error,
                    "at_random": measure.chance_mean,
                    "gain": measure.gain(found[0].measures[name])[0],
                    "gain_error": measure.gain(found[0].measures[name])[1],
                }
                for name, measure in space.measures.items()
            },
            "category_precision": {n: mean for n, (_, mean) in shares.items()},
        }
    return metrics


def gate_numbers(gates: GateUse, categories: np.ndarray) -> dict[str, Any]:
    """Entropy and use of experts, by gate and category.

    Args:
        gates: of M items.
        categories: [M].
    """
    names, counts, means = gates.use_by(categories)
    entropy, told = gates.entropy(), gates.told_by(categories)
    return {
        "experts": list(gates.experts),
        "consumers": {
            consumer: {
                "entropy": entropy[:, c].mean(),
                "told_by_category": told[c],
                "use": gates.use()[c],
                "by_category": {
                    str(name): {
                        "items": int(count),
                        "entropy": entropy[categories == name, c].mean(),
                        "use": means[k, c],
                    }
                    for k, (name, count) in enumerate(
                        zip(names, counts, strict=True)
                    )
                },
            }
            for c, consumer in enumerate(gates.consumers)
        },
    }


def space_findings(found: Sequence[Space]) -> Iterator[Finding]:
    """A sentence a space, and one a difference to the first beyond chance."""
    first = found[0]
    for space in found:
        measure = space.measures[CATEGORY]
        yield Finding(
            "note",
            f"{space.name}: {_written(measure.mean, measure)} of the "
            "neighbours are of the query's category, "
            f"{_written(measure.chance_mean, measure)} at random; a pair of "
            "one category is more alike than a pair of two with a chance of "
            f"{_written(space.counts.separation, measure)}.",
        )
    for space in found[1:]:
        for name, measure in space.measures.items():
            gain, error = measure.gain(first.measures[name])
            if not abs(gain) > 2 * error > 0:
                continue
            better = (gain > 0) == measure.higher
            yield Finding(
                "leads" if better else "loses",
                f"{space.name} against {first.name}, {name}: "
                f"{_written(measure.mean, measure)} instead of "
                f"{_written(first.measures[name].mean, measure)}, "
                f"{abs(gain / error):.1f} standard errors.",
            )


def table_line(space: Space, first: Space) -> dict[str, Any]:
    """One space's row of the table, beside the first's."""
    same, cross = space.counts.means
    cells = []
    for name, measure in space.measures.items():
        gain, error = measure.gain(first.measures[name])
        cells.append(
            {
                "value": _written(measure.mean, measure),
                "error": _written(measure.standard_error, measure),
                "random": _written(measure.chance_mean, measure),
                "gain": ""
                if space is first
                else f"{gain:+.3f} ± {error:.3f} to {first.name}",
            }
        )
    return {
        "name": space.name,
        "width": space.width,
        "same": same,
        "cross": cross,
        "separation": space.counts.separation,
        "cells": cells,
    }


def _written(value: float, measure: Measure) -> str:
    if np.isnan(value):
        return number(None)
    return percent(value) if measure.higher else number(value, 3)
