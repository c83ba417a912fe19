"""How well one space of vectors shows category and style."""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jd_tf.evaluation.similarity.catalogue import Likeness
from jd_tf.evaluation.similarity.similarity import (
    CosineCounts,
    Neighbours,
    chance_precision,
    cosine_counts,
    nearest,
    neighbour_distance,
    precision,
    random_neighbours,
    style_cells,
    unit_vectors,
)

CATEGORY = "category"
STYLE, STYLE_WITHIN = "style", "style within the category"
DISTANCE = "style distance"
DISTANCE_WITHIN = "style distance within the category"


class Measure(NamedTuple):
    """One number a query, beside what chance gives.

    Attributes:
        values: [Q], nan where undefined.
        chance: [Q] of items drawn at random.
        higher: whether more is better; distances are better lower.
    """

    values: np.ndarray
    chance: np.ndarray
    higher: bool = True

    @property
    def mean(self) -> float:
        """Over the queries; nan if undefined for all."""
        return _mean(self.values)

    @property
    def chance_mean(self) -> float:
        """What chance gives, over the same queries."""
        return _mean(np.where(np.isnan(self.values), np.nan, self.chance))

    @property
    def standard_error(self) -> float:
        """Of the mean, queries taken for independent."""
        return _standard_error(self.values)

    def gain(self, other: "Measure") -> tuple[float, float]:
        """Mean difference to another space, query by query, and its error."""
        difference = self.values - other.values
        return _mean(difference), _standard_error(difference)


@dataclasses.dataclass(frozen=True)
class Space:
    """What was found of one set of vectors.

    Attributes:
        name: of the set.
        width: of a vector.
        counts: cosines of pairs, by category.
        neighbours: of each query, among all items.
        measures: name -> numbers.
    """

    name: str
    width: int
    counts: CosineCounts
    neighbours: Neighbours
    measures: Mapping[str, Measure]


def measure_space(
    name: str,
    vectors: np.ndarray,
    likeness: Likeness,
    queries: np.ndarray,
    num_neighbours: int = 10,
    seed: int = 0,
) -> Space:
    """Compares items by their vectors with what is known of them.

    Neighbours are judged by category; by style, as it is if it is words and
    else by the halves of its first columns; and continuous style by distance
    too, in standard deviations. Style goes with category in many shops, so
    it is judged a second time among items of the query's own category.

    Args:
        name: of the space.
        vectors: [M, V], a row an item.
        likeness: of the same M items.
        queries: [Q] int, places of the items that are asked for.
        num_neighbours: K.
        seed: of the random items that distances are compared with.
    """
    units = unit_vectors(vectors)
    categories = likeness.categories
    found = nearest(units, queries, num_neighbours)
    measures = {
        CATEGORY: Measure(
            precision(found, categories), chance_precision(categories, queries)
        )
    }
    style, numbers = likeness.style_words, likeness.style_numbers
    if numbers is not None:
        style = style_cells(numbers)
    if style is not None:
        near = nearest(units, queries, num_neighbours, categories)
        for title, own, within in (
            (STYLE, found, None),
            (STYLE_WITHIN, near, categories),
        ):
            measures[title] = Measure(
                precision(own, style), chance_precision(style, queries, within)
            )
        if numbers is not None:
            measures |= _distances(numbers, found, near, categories, seed)
    counts = cosine_counts(units, categories, queries)
    return Space(name, vectors.shape[1], counts, found, measures)


def by_category(
    measure: Measure, categories: np.ndarray
) -> dict[str, tuple[int, float]]:
    """Category -> queries and mean of a measure, most queries first.

    Args:
        measure: numbers a query.
        categories: [Q], of the queries.
    """
    names, codes = np.unique(categories, return_inverse=True)
    codes = codes.reshape(-1)
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")
    return {
        str(names[c]): (int(counts[c]), _mean(measure.values[codes == c]))
        for c in order
    }


def _distances(
    numbers: np.ndarray,
    found: Neighbours,
    near: Neighbours,
    categories: np.ndarray,
    seed: int,
) -> dict[str, Measure]:
    rng = np.random.default_rng(seed)
    measures = {}
    for title, own, within in (
        (DISTANCE, found, None),
        (DISTANCE_WITHIN, near, categories),
    ):
        drawn = random_neighbours(
            own.queries, len(numbers), own.places.shape[1], rng, within
        )
        measures[title] = Measure(
            neighbour_distance(own, numbers),
            neighbour_distance(drawn, numbers),
            higher=False,
        )
    return measures


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _standard_error(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return math.nan
    return float(known.std(ddof=1) / math.sqrt(len(known)))
