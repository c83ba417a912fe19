"""Does likeness show in an embedding? Cosines and nearest neighbours.

Axis letters: M items, V width of a vector, Q queries, K neighbours. All M x M
work is done in blocks of queries, so that memory follows M, not its square.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

NUM_BINS = 200
_BLOCK_CELLS = 1 << 23


class Neighbours(NamedTuple):
    """The items nearest to each query.

    Attributes:
        queries: [Q] int, places of the queries among the items.
        places: [Q, K] int, nearest first; -1 where there are fewer.
        cosines: [Q, K] float32; nan where there are fewer.
    """

    queries: np.ndarray
    places: np.ndarray
    cosines: np.ndarray


class CosineCounts(NamedTuple):
    """How alike pairs of items are, one class apart from several.

    Attributes:
        edges: [bins + 1] of cosines, -1 to 1.
        same: [bins] pairs of one class.
        cross: [bins] pairs of two classes.
    """

    edges: np.ndarray
    same: np.ndarray
    cross: np.ndarray

    @property
    def means(self) -> tuple[float, float]:
        """Mean cosine of pairs of one class, and of two; nan without any."""
        middles = 0.5 * (self.edges[1:] + self.edges[:-1])
        return tuple(
            float(counts @ middles / counts.sum())
            if counts.sum()
            else float("nan")
            for counts in (self.same, self.cross)
        )

    @property
    def separation(self) -> float:
        """Chance that a pair of one class is more alike than one of two.

        0.5 where class does not show, 1 where it decides; pairs in one bin
        count half. nan without pairs of both kinds.
        """
        below = np.cumsum(self.cross) - 0.5 * self.cross
        pairs = self.same.sum() * self.cross.sum()
        return float(self.same @ below / pairs) if pairs else float("nan")


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """[M, V] float32 of length one; a zero vector stays zero."""
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def nearest(
    vectors: np.ndarray,
    queries: np.ndarray,
    num_neighbours: int = 10,
    within: np.ndarray | None = None,
) -> Neighbours:
    """The most alike items of each query, itself left out; exact.

    Of equally alike items those that come first are taken.

    Args:
        vectors: [M, V] of length one.
        queries: [Q] int, places of the queries.
        num_neighbours: K.
        within: [M], to look only among items of the query's own kind.
    """
    size = len(vectors)
    num_neighbours = min(num_neighbours, max(size - 1, 0))
    places = np.full((len(queries), num_neighbours), -1, np.int64)
    cosines = np.full((len(queries), num_neighbours), np.nan, np.float32)
    for part, alike in _blocks(vectors, queries):
        alike[np.arange(len(alike)), queries[part]] = -np.inf
        if within is not None:
            other = within[queries[part]][:, None] != within
            alike[other] = -np.inf
        found, cosine = _largest(alike, num_neighbours)
        there = np.isfinite(cosine)
        places[part] = np.where(there, found, -1)
        cosines[part] = np.where(there, cosine, np.nan)
    return Neighbours(queries, places, cosines)


def cosine_counts(
    vectors: np.ndarray, classes: np.ndarray, queries: np.ndarray
) -> CosineCounts:
    """Cosines of every query with every other item, by class.

    Args:
        vectors: [M, V] of length one.
        classes: [M] of any kind.
        queries: [Q] int, places of the queries.
    """
    edges = np.linspace(-1.0, 1.0, NUM_BINS + 1)
    codes = np.unique(classes, return_inverse=True)[1].reshape(-1)
    counts = np.zeros(2 * NUM_BINS, np.int64)
    for part, alike in _blocks(vectors, queries):
        bins = ((alike + 1.0) * (0.5 * NUM_BINS)).astype(np.int64)
        np.clip(bins, 0, NUM_BINS - 1, out=bins)
        bins += NUM_BINS * (codes[queries[part]][:, None] != codes)
        itself = bins[np.arange(len(bins)), queries[part]]
        counts += np.bincount(bins.ravel(), minlength=2 * NUM_BINS)
        counts -= np.bincount(itself, minlength=2 * NUM_BINS)
    return CosineCounts(edges, counts[:NUM_BINS], counts[NUM_BINS:])


def precision(found: Neighbours, classes: np.ndarray) -> np.ndarray:
    """[Q] share of each query's neighbours of its class; nan without any."""
    there = found.places >= 0
    same = classes[found.places] == classes[found.queries][:, None]
    return _mean(np.where(there, same, np.nan))


def chance_precision(
    classes: np.ndarray,
    queries: np.ndarray,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """[Q] precision to expect of neighbours drawn at random.

    Args:
        classes: [M].
        queries: [Q] int.
        within: [M], if only items of the query's own kind are drawn.
    """
    own = np.unique(classes, return_inverse=True)[1].reshape(-1)
    kind = np.zeros_like(own)
    if within is not None:
        kind = np.unique(within, return_inverse=True)[1].reshape(-1)
    both = kind * (own.max(initial=0) + 1) + own
    same = np.bincount(both)[both[queries]] - 1
    others = np.bincount(kind)[kind[queries]] - 1
    return np.where(others > 0, same / np.maximum(others, 1), np.nan)


def neighbour_distance(found: Neighbours, style: np.ndarray) -> np.ndarray:
    """[Q] mean distance in style of each query's neighbours.

    Args:
        found: the neighbours.
        style: [M, S] float, S columns of style.
    """
    apart = style[found.places] - style[found.queries][:, None]
    distance = np.linalg.norm(apart, axis=2)
    return _mean(np.where(found.places >= 0, distance, np.nan))


def random_neighbours(
    queries: np.ndarray,
    size: int,
    num_neighbours: int,
    rng: np.random.Generator,
    within: np.ndarray | None = None,
) -> Neighbours:
    """Other items drawn at random, with replacement, in place of the nearest.

    Args:
        queries: [Q] int.
        size: M.
        num_neighbours: K.
        rng: of the draws.
        within: [M], to draw only among items of the query's own kind.
    """
    kind = np.zeros(size, np.int64)
    if within is not None:
        kind = np.unique(within, return_inverse=True)[1].reshape(-1)
    order = np.argsort(kind, kind="stable")
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    count = np.bincount(kind)
    start = np.cumsum(count) - count
    mine = kind[queries]
    others = count[mine] - 1
    shape = (len(queries), num_neighbours)
    drawn = rng.integers(0, np.maximum(others, 1)[:, None], shape)
    # Skipping its own place keeps the draw even over the others.
    drawn += drawn >= (rank[queries] - start[mine])[:, None]
    drawn = np.minimum(drawn, others[:, None])
    places = order[start[mine][:, None] + drawn]
    places = np.where(others[:, None] > 0, places, -1)
    return Neighbours(queries, places, np.full(shape, np.nan, np.float32))


def style_cells(style: np.ndarray, max_columns: int = 3) -> np.ndarray:
    """[M] int, continuous style made discrete: halves of the first columns.

    Each of the first columns is cut at its median, so three make up to
    eight cells of about the same size.

    Args:
        style: [M, S] float.
        max_columns: columns that are cut.
    """
    cut = style[:, :max_columns]
    high = cut > np.median(cut, axis=0)
    return high @ (1 << np.arange(cut.shape[1]))


def _blocks(
    vectors: np.ndarray, queries: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of the queries with their cosines to all items."""
    step = max(1, _BLOCK_CELLS // max(len(vectors), 1))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        yield part, vectors[queries[part]] @ vectors.T


def _largest(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[Q, count] places and values of the largest of each row, in order."""
    if not count:
        empty = np.zeros((len(values), 0))
        return empty.astype(np.int64), empty
    cut = np.partition(values, -count, axis=1)[:, -count]
    picked = np.empty((len(values), count), np.int64)
    for row, (line, least) in enumerate(zip(values, cut, strict=True)):
        near = np.flatnonzero(line >= least)
        picked[row] = near[np.argsort(-line[near], kind="stable")[:count]]
    return picked, np.take_along_axis(values, picked, axis=1)


def _mean(values: np.ndarray) -> np.ndarray:
    """[Q] means over axis 1 of what is not nan; nan where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
