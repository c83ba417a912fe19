"""Nearest neighbours in a space of vectors, and what they share.

Axis letters: M items, V width of a vector, Q queries, K neighbours.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from jd_tf.evaluation.similarity.catalogue import ItemStyles

CATEGORY, STYLE = "category", "style"
STYLE_WITHIN = "style within the category"


class Measure(NamedTuple):
    """A number a query, nan where undefined, beside the mean of chance."""

    values: np.ndarray
    chance: float


def nearest(
    vectors: np.ndarray,
    queries: np.ndarray,
    num_neighbours: int = 10,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Finds the most alike items of each query by cosine, itself left out.

    Returns [Q, K] places, nearest first; -1 where there are fewer. `within`
    [M] restricts them to items of the query's own kind.
    """
    kinds = np.zeros(len(vectors), int) if within is None else within
    places = np.full((len(queries), num_neighbours), -1)
    for kind in np.unique(kinds[queries]):
        members = np.flatnonzero(kinds == kind)
        asked = np.flatnonzero(kinds[queries] == kind)
        count = min(num_neighbours + 1, len(members))
        finder = NearestNeighbors(n_neighbors=count, metric="cosine")
        finder.fit(vectors[members])
        found = members[
            finder.kneighbors(vectors[queries[asked]], return_distance=False)
        ]
        for row, near in zip(asked, found, strict=True):
            # Of many equal items the query itself may not be found.
            others = near[near != queries[row]][:num_neighbours]
            places[row, : len(others)] = others
    return places


def shared(
    places: np.ndarray,
    queries: np.ndarray,
    classes: np.ndarray,
    within: np.ndarray | None = None,
) -> Measure:
    """Measures the share of each query's neighbours of its class (of [M])."""
    same = np.ma.masked_array(
        classes[places] == classes[queries][:, None], places < 0
    )
    kinds = np.zeros(len(classes), int) if within is None else within
    table = pd.DataFrame({"kind": kinds, "class": classes})
    mates = table.groupby("kind")["kind"].transform("size")
    alike = table.groupby(["kind", "class"])["kind"].transform("size")
    chance = ((alike - 1) / (mates - 1))[queries].mean()
    return Measure(same.mean(axis=1).filled(np.nan), float(chance))


def explained(
    places: np.ndarray,
    queries: np.ndarray,
    style: np.ndarray,
    within: np.ndarray | None = None,
) -> Measure:
    """Measures the variance of style [M, S] that neighbours explain.

    The mean style of the neighbours predicts that of the query; the mean of
    the values is R squared, at most 1, below 0 for neighbours at random. With
    `within`, the variance to explain is that inside a kind.
    """
    kinds = np.zeros(len(style), int) if within is None else within
    means = pd.DataFrame(style).groupby(kinds).transform("mean")
    centred = style - means.to_numpy()
    there = (places >= 0)[..., None]
    count = np.maximum(there.sum(axis=1), 1)
    predicted = np.where(there, centred[places], 0.0).sum(axis=1) / count
    errors = ((centred[queries] - predicted) ** 2).sum(axis=1)
    variance = (centred[queries] ** 2).sum(axis=1).mean()
    values = np.where(there[:, 0, 0], 1.0 - errors / variance, np.nan)
    return Measure(values, -1.0 / places.shape[1])


def measure_space(
    vectors: np.ndarray,
    items: ItemStyles,
    queries: np.ndarray,
    num_neighbours: int = 10,
) -> dict[str, Measure]:
    """Compares items by their vectors with what is known of them.

    Style goes with category in many shops, so it is measured a second time
    among items of the query's own category.
    """
    near = nearest(vectors, queries, num_neighbours)
    measures = {CATEGORY: shared(near, queries, items.categories)}
    if items.style is not None:
        measure = shared if items.style.ndim == 1 else explained
        measures[STYLE] = measure(near, queries, items.style)
        kinds = items.categories
        near = nearest(vectors, queries, num_neighbours, kinds)
        measures[STYLE_WITHIN] = measure(near, queries, items.style, kinds)
    return measures


def summarize(measure: Measure, first: Measure) -> dict[str, float]:
    """Returns mean, standard error, chance, and the gain over a first space."""
    gain = measure.values - first.values
    return {
        "mean": float(np.nanmean(measure.values)),
        "standard_error": float(stats.sem(measure.values, nan_policy="omit")),
        "at_random": measure.chance,
        "gain": float(np.nanmean(gain)),
        "gain_error": float(stats.sem(gain, nan_policy="omit")),
    }
