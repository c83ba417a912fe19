"""Configs that models of the zoo have in common."""

import dataclasses
from typing import Any, ClassVar

from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.ranking.jd_ranker_config import ItemsConfig


@dataclasses.dataclass(frozen=True)
class FieldsConfig(ConfigGroup):
    """Fields of one width, for models that multiply them with each other.

    Attributes:
        embedding_dim: width K of the vector of every id.
    """

    # An item is its embeddings side by side; a number is read as it is.
    model_dim: ClassVar[int] = 0
    numeric_embedding_dim: ClassVar[int] = 0

    embedding_dim: int = 16

    @property
    def item_embedding_dim(self) -> int:
        """Width of every table, of items as of all other ids."""
        return self.embedding_dim

    feature_embedding_dim = context_embedding_dim = item_embedding_dim


@dataclasses.dataclass(frozen=True)
class NetworkConfig(ConfigGroup):
    """The network over all features.

    Attributes:
        hidden_units: widths of its layers.
        dropout_rate: dropout after every layer but the last.
    """

    hidden_units: tuple[int, ...] = (128, 64)
    dropout_rate: float = 0.0

    @property
    def deep(self) -> dict[str, Any]:
        """Returns arguments of the network without its output layer."""
        return {
            "units": self.hidden_units,
            "last_activation": "relu",
            "dropout_rate": self.dropout_rate,
        }


@dataclasses.dataclass(frozen=True)
class TowersConfig(ConfigGroup):
    """Networks that objectives share or do not, and a tower for each.

    Attributes:
        expert_units: widths of a network's layers.
        tower_units: widths of a tower's hidden layers.
        dropout_rate: dropout in both.
    """

    expert_units: tuple[int, ...] = (128, 64)
    tower_units: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class TowersRankerConfig(RankerConfig):
    """Sizes of rankers whose towers read networks of `expert_units`.

    Example:
    >>> TowersRankerConfig.of(model_dim=32).items.model_dim
    32
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    head: TowersConfig = dataclasses.field(default_factory=TowersConfig)


@dataclasses.dataclass(frozen=True)
class FieldsRankerConfig(RankerConfig):
    """Sizes of rankers whose network reads fields of one width.

    Example:
    >>> FieldsRankerConfig.of(embedding_dim=8).items.embedding_dim
    8
    """

    items: FieldsConfig = dataclasses.field(default_factory=FieldsConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@dataclasses.dataclass(frozen=True)
class TokensRankerConfig(RankerConfig):
    """Sizes of rankers whose network reads tokens.

    Example:
    >>> TokensRankerConfig.of(hidden_units=(8,)).network.hidden_units
    (8,)
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
