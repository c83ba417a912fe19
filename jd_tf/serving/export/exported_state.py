"""Variables and tables of a SavedModel that a model server can restore."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


def exported_state(
    layers: Iterable[Any], weights: Iterable[Any], name: str
) -> tf.Module:
    """Collects TensorFlow's own variables and tables, and no Keras object.

    Keras exports a variable of its own as a *copy* of TensorFlow's variable
    underneath. `tf.saved_model.load` finds its way back; a model server,
    which restores by the graph's own restore op, fills the copies, and every
    signature then asks for variables that were never filled.
    """
    found: dict[int, Any] = {}
    descendants = (
        part for layer in layers for part in _View(layer).descendants()
    )
    for part in (*weights, *descendants):
        # The variable that Keras wraps, not the copy it would export.
        state = part.value if isinstance(part, keras.Variable) else part
        if isinstance(
            state,
            tf.Variable | tf.saved_model.experimental.TrackableResource,
        ):
            found[id(state)] = state
    module = tf.Module(name=name)
    module.state = list(found.values())
    return module


class _View(tf.train.TrackableView):
    """A view of all a SavedModel would hold; a checkpoint has no tables."""

    @classmethod
    def children(
        cls, obj: Any, save_type: str = "savedmodel", **kwargs: Any
    ) -> Any:
        # The traversal keeps traced functions in it.
        kwargs.setdefault("cache", {})
        return super().children(obj, save_type, **kwargs)
