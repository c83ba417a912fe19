"""Models by name."""

from typing import Any, NamedTuple

from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError


class ModelEntry(NamedTuple):
    """A registered model.

    Attributes:
        model_class: made from a schema and a config.
        config_class: a dataclass whose fields have defaults.
    """

    model_class: type[Any]
    config_class: type[Any]


_MODELS = {"jd_ranker": ModelEntry(JDRanker, JDRankerConfig)}


def get_model(name: str) -> ModelEntry:
    """Returns the entry of a registered model, or raises a DataError."""
    if name not in _MODELS:
        raise DataError(f"no model `{name}`; it is one of {sorted(_MODELS)}.")
    return _MODELS[name]
