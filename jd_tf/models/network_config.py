"""Configs that models of the zoo have in common."""

import dataclasses

from jd_tf.models.ranker_config import ConfigGroup


@dataclasses.dataclass(frozen=True)
class FieldsConfig(ConfigGroup):
    """Fields of one width, for models that multiply them with each other.

    Attributes:
        embedding_dim: width K of the vector of every id.
    """

    embedding_dim: int = 16

    @property
    def item_embedding_dim(self) -> int:
        """Width of the table of item ids."""
        return self.embedding_dim

    @property
    def feature_embedding_dim(self) -> int:
        """Width of the tables of an item's other ids."""
        return self.embedding_dim

    @property
    def context_embedding_dim(self) -> int:
        """Width of the tables of context ids and ages."""
        return self.embedding_dim

    @property
    def model_dim(self) -> int:
        """Returns 0: an item is its embeddings side by side."""
        return 0

    @property
    def numeric_embedding_dim(self) -> int:
        """Returns 0: a number is read as it is."""
        return 0


@dataclasses.dataclass(frozen=True)
class NetworkConfig(ConfigGroup):
    """The network over all features.

    Attributes:
        hidden_units: widths of its layers.
        dropout_rate: dropout after every layer but the last.
    """

    hidden_units: tuple[int, ...] = (128, 64)
    dropout_rate: float = 0.0


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
