"""The re-ranking of one list: relevance, diversity, and rules of places."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jd_tf.pipeline.reranking.determinantal_process import DeterminantalProcess
from jd_tf.pipeline.reranking.item_likeness import Likeness
from jd_tf.pipeline.reranking.marginal_relevance import MarginalRelevance
from jd_tf.pipeline.reranking.rerank_config import RerankConfig
from jd_tf.pipeline.reranking.window_quotas import WindowQuotas

BEST = "best by score of those left"
DIVERSITY = "better scored items were too alike to those above"
PINNED = "pinned to this place"
NEW = "a new item's place"
NOVELTY = "better scored items are less novel"
QUOTA = "better scored items were over the quota of `{}`"
NO_OTHER = "no item was left within the quota of `{}`"


@dataclasses.dataclass(frozen=True)
class Reranked:
    """The list that is shown.

    Attributes:
        order: (K,) places of the shown items in the given list.
        reasons: K texts, the reason for each item at its place.
    """

    order: np.ndarray
    reasons: tuple[str, ...]


class Reranker:
    """Chooses item after item, each the best for its place.

    At a place, in this order: an item pinned to it; a new item, where the
    exploration share asks for one; the item of the greatest gain, of those
    that the quotas allow; where they allow none, of those that break them
    least. Filters win over all of that. Equal gains keep the order given.

    Relevance is the score scaled to 0..1 within the list, so that weights
    mean the same whatever the ranker's scores are.

    Args:
        config: the rules.

    Example:
        >>> import numpy as np
        >>> reranker = Reranker(RerankConfig("mmr", relevance_weight=0.5))
        >>> from jd_tf.pipeline.reranking.item_likeness import SharedIds
        >>> category = SharedIds([np.array([5, 5, 6])])
        >>> scores = np.array([3.0, 2.9, 2.0])
        >>> reranker.rerank(scores, 3, category).order.tolist()
        [0, 2, 1]
    """

    def __init__(self, config: RerankConfig | None = None):
        self.config = config or RerankConfig()

    def rerank(
        self,
        score: np.ndarray,
        count: int,
        likeness: Likeness | None = None,
        columns: Mapping[str, np.ndarray] | None = None,
        new: np.ndarray | None = None,
        novelty: np.ndarray | None = None,
        pins: Mapping[int, int] | None = None,
        blocked: np.ndarray | None = None,
    ) -> Reranked:
        """Re-ranks one list.

        Args:
            score: (N,) higher is better.
            count: K, items wanted; fewer are returned if fewer are free.
            likeness: of the N items, see `item_likeness`.
            columns: ids by column of the quotas, (N,) each.
            new: (N,) bool, items that exploration is for.
            novelty: (N,) any scale, such as minus the logarithm of
                popularity.
            pins: place from 0 -> item, its number in the list.
            blocked: (N,) bool, items that are not shown.

        Raises:
            ValueError: for numbers that are not finite, shapes that do not
                fit, and methods or rules whose data are missing.
        """
        config, total = self.config, len(score)
        relevance = self._relevance(score, novelty)
        free = np.ones(total, bool)
        if blocked is not None:
            free &= ~_shaped("blocked", blocked, total).astype(bool)
        count = min(max(count, 0), int(free.sum()))
        waiting = self._pins(pins or {}, free)
        new = np.zeros(total, bool) if new is None else new
        new = _shaped("new", new, total).astype(bool)
        values = self._values(relevance, likeness, count)
        quotas = WindowQuotas(config.quotas, columns or {}, total)
        # The best by score among the free ones, for the reasons.
        ranking = np.argsort(-score, kind="stable")
        first, explored = 0, 0
        order, reasons = np.empty(count, np.int64), []
        for place in range(count):
            while not free[ranking[first]]:
                first += 1
            best = int(ranking[first])
            pinned = waiting.pop(place, None)
            if pinned is None:
                open_now = free.copy()
                open_now[list(waiting.values())] = False
                if not open_now.any():
                    # Only pinned items are left: they come early.
                    pinned = waiting.pop(min(waiting))
            if pinned is not None:
                item, reason = pinned, PINNED
            else:
                wanted = int((place + 1) * config.exploration_share + 1e-9)
                explores = explored < wanted
                item, reason = self._choose(
                    values.gains() if values else relevance,
                    relevance,
                    open_now,
                    quotas,
                    best,
                    new if explores else None,
                )
            order[place] = item
            reasons.append(reason)
            free[item] = False
            explored += int(new[item])
            quotas.add(item)
            if values:
                values.add(item)
        return Reranked(order, tuple(reasons))

    def _choose(
        self,
        gains: np.ndarray,
        relevance: np.ndarray,
        open_now: np.ndarray,
        quotas: WindowQuotas,
        best: int,
        new: np.ndarray | None,
    ) -> tuple[int, str]:
        """Returns the item for a place that no pin takes, and the reason."""
        excess = quotas.excess()
        within = open_now & (excess == 0)
        if new is not None and (within & new).any():
            item = _best(gains, relevance, within & new)
            return item, BEST if item == best else NEW
        if not within.any():
            # The best of those that break the rules least.
            least = excess == excess[open_now].min()
            item = _best(gains, relevance, open_now & least)
            return item, NO_OTHER.format(quotas.forbidding(item))
        item = _best(gains, relevance, within)
        if item == best:
            return item, BEST
        if open_now[best] and not within[best]:
            return item, QUOTA.format(quotas.forbidding(best))
        if relevance[item] >= relevance[best]:
            return item, NOVELTY
        return item, DIVERSITY

    def _relevance(
        self, score: np.ndarray, novelty: np.ndarray | None
    ) -> np.ndarray:
        relevance = _scaled("score", score)
        weight = self.config.novelty_weight
        if not weight:
            return relevance
        if novelty is None:
            raise ValueError("`novelty_weight` needs `novelty` of each item.")
        novelty = _scaled("novelty", _shaped("novelty", novelty, len(score)))
        return (1 - weight) * relevance + weight * novelty

    def _values(
        self, relevance: np.ndarray, likeness: Likeness | None, count: int
    ) -> MarginalRelevance | DeterminantalProcess | None:
        config = self.config
        if config.method == "none":
            return None
        if likeness is None or len(likeness) != len(relevance):
            raise ValueError(
                f"`{config.method}` needs the likeness of "
                f"{len(relevance)} items. Got: "
                f"{None if likeness is None else len(likeness)}."
            )
        weight, window = config.relevance_weight, config.window
        if config.method == "mmr":
            return MarginalRelevance(relevance, likeness, weight, window)
        return DeterminantalProcess(
            relevance, likeness, weight, window, config.own_share, count
        )

    @staticmethod
    def _pins(pins: Mapping[int, int], free: np.ndarray) -> dict[int, int]:
        """Returns the pins of items that are free."""
        items = list(pins.values())
        if len(set(items)) < len(items) or any(
            not 0 <= item < len(free) for item in items
        ):
            raise ValueError(
                f"`pins` must name different items from 0 to {len(free) - 1}. "
                f"Got: {dict(pins)}."
            )
        return {place: item for place, item in pins.items() if free[item]}


def _best(
    gains: np.ndarray, relevance: np.ndarray, open_now: np.ndarray
) -> int:
    """Returns the first of the greatest gain; by relevance if all are -inf."""
    masked = np.where(open_now, gains, -np.inf)
    item = int(masked.argmax())
    if masked[item] == -np.inf:
        item = int(np.where(open_now, relevance, -np.inf).argmax())
    return item


def _scaled(name: str, values: np.ndarray) -> np.ndarray:
    """Returns (N,) float64 from 0 to 1; zeros where all are equal."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)] if values.ndim == 1 else values
        raise ValueError(
            f"`{name}` must be (N,) finite numbers. Got: "
            f"{wrong.ravel()[0] if values.ndim == 1 else values.shape}."
        )
    if not len(values):
        return values
    least, most = values.min(), values.max()
    return (values - least) / (most - least if most > least else 1.0)


def _shaped(name: str, values: np.ndarray, count: int) -> np.ndarray:
    if np.shape(values) != (count,):
        raise ValueError(
            f"`{name}` must be ({count},). Got: {np.shape(values)}."
        )
    return np.asarray(values)
