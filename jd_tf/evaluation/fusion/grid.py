"""Search for the best constant fusion weights, overall and by segment."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tqdm

from jd_tf.evaluation.fusion.weight_judge import Group, Progress, WeightJudge
from jd_tf.schema import DataError

# Half of the weight vectors look everywhere, the rest near the best so far.
_COARSE_SHARE = 0.5
_SPREADS = (0.6, 0.3, 0.15)
# Beside even mixtures, those in which few objectives count.
_CONCENTRATIONS = (1.0, 0.35)


@dataclasses.dataclass(frozen=True)
class FusionGrid:
    """W weight vectors and their metrics on G groups of requests."""

    groups: list[Group]
    group_sizes: np.ndarray
    weights: np.ndarray  # [W, T] float64, each adding up to 1
    rounds: np.ndarray  # [W] int, 0 of the coarse look
    ndcg: np.ndarray  # [G, W]
    captured: np.ndarray  # [T, W]

    @property
    def best(self) -> np.ndarray:
        """[G] int, the best weight vector of each group, -1 without gain."""
        some = np.where(np.isnan(self.ndcg), -1.0, self.ndcg)
        return np.where(some.max(axis=1) < 0, -1, some.argmax(axis=1))

    def best_weights(self, group: int = 0) -> np.ndarray:
        """[T] the best of a group, or of all requests where it has no gain."""
        best = self.best
        if best[0] < 0:
            raise DataError("no request has any gain: nothing to search for.")
        return self.weights[best[group] if best[group] >= 0 else best[0]]

    def judged_on(self, judge: WeightJudge) -> "FusionGrid":
        """The same vectors on other requests, whose groups may be others."""
        return _judged(judge, self.weights, self.rounds)

    def front(self, first: int, second: int) -> np.ndarray:
        """[F] int, undominated vectors, ascending in objective `first`."""
        one, other = self.captured[first], self.captured[second]
        order = np.lexsort((-other, -one))
        before = np.maximum.accumulate(other[order])[:-1]
        kept = other[order] > np.concatenate([[-np.inf], before])
        return order[kept][::-1]


def search_weights(
    judge: WeightJudge,
    num_weights: int = 1000,
    starts: Sequence[Sequence[float]] = (),
    seed: int = 0,
    progress: bool = False,
    axes: tuple[int, int] | None = None,
) -> FusionGrid:
    """Searches the weights of highest value-NDCG, coarse to fine.

    Half of the `num_weights` vectors are the corners, the middle, `starts` and
    random points of the simplex; then three rounds look ever closer around the
    best of every group (a quarter around the front of the objectives `axes`),
    and each vector is judged on all groups. Vectors are drawn in units of an
    objective's spread: w_t = u_t / deviation of its feature, u on the simplex,
    so that tiny probabilities are not left out of the search. The best of many
    is flattered by the requests it was chosen on: judge it on others.
    """
    real = judge.predictions.real
    # Padding and missing objectives have no spread; their unit is 1.
    unit = judge.features[real].std(axis=0) if real.any() else np.zeros(1)
    unit = np.where(unit > 0, unit, 1.0)
    num_objectives = judge.features.shape[-1]
    rng = np.random.default_rng(seed)
    first = [
        *np.eye(num_objectives),
        np.ones(num_objectives) / unit,
        *(np.asarray(start, np.float64) for start in starts),
    ]
    least = len(first) + num_objectives + 1
    if num_weights < least:
        raise DataError(
            f"`num_weights` must be at least {least}. Got: {num_weights}."
        )
    num_coarse = max(len(first), round(_COARSE_SHARE * num_weights))
    drawn = _random_mixtures(rng, num_coarse - len(first), num_objectives)
    coarse = _on_simplex(np.concatenate([first, drawn / unit]))
    total = num_weights * judge.num_ranked
    with tqdm.tqdm(
        total=total, unit="ranking", unit_scale=True, disable=not progress
    ) as bar:
        grid = _judged(judge, coarse, np.zeros(num_coarse, int), bar.update)
        for number, spread in enumerate(_SPREADS, 1):
            rounds_left = len(_SPREADS) - number + 1
            share = (num_weights - len(grid.weights)) // rounds_left
            if share and grid.best[0] >= 0:
                near = _near(rng, _centres(grid, share, axes), unit, spread)
                rounds = np.full(share, number)
                found = _judged(judge, near, rounds, bar.update)
                grid = dataclasses.replace(
                    grid,
                    weights=np.concatenate([grid.weights, near]),
                    rounds=np.concatenate([grid.rounds, rounds]),
                    ndcg=np.concatenate([grid.ndcg, found.ndcg], axis=1),
                    captured=np.concatenate(
                        [grid.captured, found.captured], axis=1
                    ),
                )
    return grid


def _judged(
    judge: WeightJudge,
    weights: np.ndarray,
    rounds: np.ndarray,
    progress: Progress | None = None,
) -> FusionGrid:
    found = judge.judge(weights, progress)
    return FusionGrid(judge.groups, judge.group_sizes, weights, rounds, *found)


def _centres(
    grid: FusionGrid, count: int, axes: tuple[int, int] | None
) -> np.ndarray:
    """[count, T] centres of the next round, the same ones several times."""
    best = np.unique(grid.best[grid.best >= 0])
    front = best[:0] if axes is None else grid.front(*axes)
    num_front = count // 4 if len(front) else 0
    chosen = [best[np.arange(count - num_front) % len(best)]]
    if num_front:
        chosen.append(front[np.arange(num_front) % len(front)])
    return grid.weights[np.concatenate(chosen)]


def _near(
    rng: np.random.Generator,
    centres: np.ndarray,
    unit: np.ndarray,
    spread: float,
) -> np.ndarray:
    """A vector near each of the centres, [C, T] both."""
    centres = _on_simplex(centres * unit)
    factors = np.exp(spread * rng.normal(size=centres.shape))
    # A share of zero is left by mixing, not by multiplying.
    drawn = _random_mixtures(rng, *centres.shape)
    mixed = (1 - spread / 2) * centres + spread / 2 * drawn
    either = rng.random((len(centres), 1)) < 0.5
    return _on_simplex(np.where(either, centres * factors, mixed) / unit)


def _random_mixtures(
    rng: np.random.Generator, count: int, num_objectives: int
) -> np.ndarray:
    """[count, T] points of the simplex, even and uneven ones in turn."""
    drawn = [
        rng.dirichlet(np.full(num_objectives, concentration), count)
        for concentration in _CONCENTRATIONS
    ]
    numbers = np.arange(count)
    return np.stack(drawn)[numbers % len(drawn), numbers]


def _on_simplex(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=-1, keepdims=True)
