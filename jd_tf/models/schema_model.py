"""The base of all models of a schema: schema, config and serialization."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from jd_tf.models.adapted_features import AdaptedFeatures
from jd_tf.models.config_fields import config_from_json
from jd_tf.models.ranker_config import ConfigGroup
from jd_tf.schema import Schema


class SchemaModel(AdaptedFeatures, keras.Model):
    """A model whose schema and config make it, weights included.

    The registry, work folders and checkpoints know only what stands here. A
    subclass makes its layers in its constructor and ends that with `build()`,
    which builds them in `build_layers`.

    Args:
        schema: the columns of a request, or their JSON dict.
        config: a `config_class`, its nested dict, or None for the defaults.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("two_tower").model_class, SchemaModel)
    True
    """

    config_class: ClassVar[type] = ConfigGroup
    registered_name: ClassVar[str] = ""
    built: bool
    # The `PairReader` of a model that reads item pairs.
    pairs: Any = None

    def __init__(
        self,
        schema: Schema | Mapping[str, Any],
        config: Any = None,
        **kwargs: Any,
    ):
        # Ages, prices and labels would overflow half precision.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(schema, Schema):
            schema = Schema.from_json(dict(schema))
        self.schema = schema
        self.config: Any = config_from_json(self.config_class, config or {})

    def build_layers(self) -> None:
        """Builds all layers from the schema's shapes."""
        raise NotImplementedError

    @property
    def fusion_variables(self) -> list:
        """Variables that fusion steps train, and main steps do not."""
        return []

    def build(self, input_shape: Any = None) -> None:
        if not self.built:
            self.build_layers()
            self.built = True

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "schema": self.schema.to_json(),
            "config": dataclasses.asdict(self.config),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "SchemaModel":
        return cls(**config)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing: the constructor has built everything."""
