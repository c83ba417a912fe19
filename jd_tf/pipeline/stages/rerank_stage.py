"""Re-ranking as a stage: rules and data of the catalogue."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.reranking.item_likeness import (
    Likeness,
    SharedIds,
    VectorLikeness,
)
from jd_tf.pipeline.reranking.rerank_config import RerankConfig
from jd_tf.pipeline.reranking.reranker import Reranker
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import DataError

REASON = "reason"


@dataclasses.dataclass(frozen=True)
class ItemRules:
    """Columns of the catalogue that re-ranking reads.

    Attributes:
        likeness: id columns by which items are alike, if no vectors are.
        new_feature: of `item_dense`; an item is new where it is at most
            `new_at_most`, such as the logarithm of its age. "": none is.
        new_at_most: see `new_feature`.
        familiar_feature: of `item_dense`; the lower, the more novel an item,
            such as the logarithm of its exposures. "": all are alike.
    """

    likeness: tuple[str, ...] = ("category_id", "brand_id", "shop_id")
    new_feature: str = ""
    new_at_most: float = 0.0
    familiar_feature: str = ""


class RerankStage:
    """Re-ranks by `Reranker`; data of the items are looked up once, here.

    Args:
        catalogue: of all items.
        config: the rules of places.
        rules: the columns they read.
        item_dense: names of the features in the column `item_dense`.
        vectors: (I, D) by row of the catalogue, for likeness; rows of zeros
            where there is none.

    Raises:
        DataError: naming a column or feature that the catalogue has not.
    """

    name = "rerank"

    def __init__(
        self,
        catalogue: Catalogue,
        config: RerankConfig | None = None,
        rules: ItemRules | None = None,
        item_dense: Sequence[str] = (),
        vectors: np.ndarray | None = None,
    ):
        self.catalogue = catalogue
        self._reranker = Reranker(config)
        rules = rules or ItemRules()
        alike = [] if vectors is not None else list(rules.likeness)
        quotas = [quota.column for quota in self._reranker.config.quotas]
        for column in (*alike, *quotas):
            if column not in catalogue.columns:
                raise DataError(
                    f"re-ranking reads `{column}`, which the catalogue has "
                    f"not: {', '.join(catalogue.columns)}."
                )
        self._alike, self._quotas, self._vectors = alike, quotas, vectors

        def feature(name: str) -> np.ndarray | None:
            if not name:
                return None
            if name not in item_dense:
                raise DataError(
                    f"re-ranking reads the feature `{name}`, which "
                    f"`item_dense` has not: {', '.join(item_dense)}."
                )
            dense = catalogue.columns["item_dense"]
            return dense[:, list(item_dense).index(name)]

        age = feature(rules.new_feature)
        familiar = feature(rules.familiar_feature)
        self._new = None if age is None else age <= rules.new_at_most
        self._novelty = None if familiar is None else -familiar

    def order(
        self,
        request: UserRequest,
        items: ScoredItems,
        count: int,
        seconds: float,
    ) -> ScoredItems:
        """See `RankingStage`."""
        del seconds
        rows = self.catalogue.rows(items.item_id)
        columns = self.catalogue.columns
        place_of = {item: n for n, item in enumerate(items.item_id.tolist())}
        pins = {
            place: place_of[item]
            for place, item in request.pins.items()
            if item in place_of
        }
        shown = self._reranker.rerank(
            items.score,
            count,
            self.likeness(rows),
            {name: columns[name][rows] for name in self._quotas},
            None if self._new is None else self._new[rows],
            None if self._novelty is None else self._novelty[rows],
            pins,
        )
        return ScoredItems(
            items.item_id[shown.order],
            items.score[shown.order],
            {REASON: shown.reasons},
        )

    def likeness(self, rows: np.ndarray) -> Likeness:
        """Returns the likeness of the items at rows of the catalogue."""
        if self._vectors is not None:
            return VectorLikeness(self._vectors[rows])
        columns = self.catalogue.columns
        return SharedIds([columns[name][rows] for name in self._alike])
