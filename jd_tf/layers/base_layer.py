"""The base of all layers: config and parts."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import keras


class BaseLayer(keras.layers.Layer):
    """A layer that keeps every constructor argument under its own name."""

    def get_config(self) -> dict[str, Any]:
        # `autocast` is the constructor's to set.
        config = super().get_config()
        config.pop("autocast", None)
        for name in inspect.signature(type(self).__init__).parameters:
            if name not in ("self", "kwargs"):
                config[name] = _plain(getattr(self, name))
        return config

    def add_part(
        self, layer: type, *args: Any, shapes: Sequence[Any], **kwargs: Any
    ) -> Any:
        """Returns an inner layer, built for `shapes`, of this one's dtype."""
        part = layer(*args, **{"dtype": self.dtype_policy, **kwargs})
        part.build(*shapes)
        return part


def _plain(value: Any) -> Any:
    """Returns an argument as JSON has it."""
    if isinstance(value, keras.initializers.Initializer):
        return keras.initializers.serialize(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)  # type: ignore[arg-type]
    return keras.activations.serialize(value) if callable(value) else value
