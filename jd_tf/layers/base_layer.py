"""The base of all layers: config and parts."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import keras

from jd_tf.keras_backend import check_backend

# A file of settings may have named another one.
check_backend()


class Composite:
    """A mixin of what has inner layers of its own dtype policy, built."""

    dtype_policy: Any

    def add_part(
        self, layer: type, name: str, shape: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Returns an inner layer of this one's dtype policy, built.

        Args:
            layer: its class.
            name: its name.
            shape: what its `build` takes, or a dict by the names there.
            *args: arguments of its constructor.
            **kwargs: likewise.
        """
        part = layer(*args, **{"dtype": self.dtype_policy, **kwargs}, name=name)
        if isinstance(shape, dict):
            part.build(**shape)
        else:
            part.build(shape)
        return part

    def add_dense(
        self, name: str, input_dim: int, units: int, **kwargs: Any
    ) -> keras.layers.Dense:
        """Returns a dense part; `kwargs` are its arguments."""
        shape = (None, input_dim)
        return self.add_part(keras.layers.Dense, name, shape, units, **kwargs)


class BaseLayer(Composite, keras.layers.Layer):
    """A layer that keeps every constructor argument under its own name."""

    def get_config(self) -> dict[str, Any]:
        # `autocast` is the constructor's to set.
        config = super().get_config()
        config.pop("autocast", None)
        for name in self._arguments():
            config[name] = _plain(getattr(self, name))
        return config

    def keep(self, given: Mapping[str, Any]) -> None:
        """Keeps the arguments among a constructor's `locals()` as they are.

        Lists, which JSON has in place of tuples, become tuples again.
        """
        for name in self._arguments():
            value = given[name]
            setattr(
                self, name, tuple(value) if isinstance(value, list) else value
            )

    def _arguments(self) -> list[str]:
        names = inspect.signature(type(self).__init__).parameters
        return [name for name in names if name not in ("self", "kwargs")]


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
