"""Settings of the re-ranking."""

import dataclasses

from jd_tf.schema import DataError

METHODS = ("none", "mmr", "dpp")


@dataclasses.dataclass(frozen=True)
class Quota:
    """At most so many items of one value of a column among near places.

    Attributes:
        column: candidate column of ids, such as `category_id`.
        most: items of one value in any `window` places in a row.
        window: places; 0 for the whole list.

    Raises:
        DataError: naming what is out of range.
    """

    column: str
    most: int
    window: int = 0

    def __post_init__(self) -> None:
        if self.most < 1 or self.window < 0:
            raise DataError(
                f"quota of `{self.column}`: `most` must be at least 1 and "
                f"`window` at least 0. Got: {self.most}, {self.window}."
            )


@dataclasses.dataclass(frozen=True)
class RerankConfig:
    """Settings of `Reranker`.

    Attributes:
        method: `dpp`, `mmr`, or `none`: by relevance, under the rules alone.
        relevance_weight: from 0 (diversity alone) to 1 (relevance alone).
        window: places among which items shall differ; 0 for all.
        own_share: of `dpp`, what every item has for itself alone. With 0,
            two items of equal vectors never share a window.
        quotas: rules of near places; where no item meets them, the best of
            those that break them least is shown, and its reason says so.
        exploration_share: of any first n places at least this share, rounded
            down, are new items, as long as there are any.
        novelty_weight: how much of an item's relevance is its novelty, from
            0 to 1.

    Raises:
        DataError: naming the field and its value.
    """

    method: str = "dpp"
    relevance_weight: float = 0.92
    window: int = 10
    own_share: float = 0.1
    quotas: tuple[Quota, ...] = ()
    exploration_share: float = 0.0
    novelty_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DataError(
                f"`method` must be one of {', '.join(METHODS)}. Got: "
                f"{self.method!r}."
            )
        for name in (
            "relevance_weight",
            "own_share",
            "exploration_share",
            "novelty_weight",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(
                    f"`{name}` must be from 0 to 1. Got: {getattr(self, name)}."
                )
        if self.window < 0:
            raise DataError(f"`window` must be 0 or more. Got: {self.window}.")
