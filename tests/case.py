"""A layer or block with inputs that exercise it."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Case:
    """A layer or block with its arguments and call arguments.

    Attributes:
        name: str. Names the test.
        create: callable. Makes the layer; takes `dtype` and the like.
        inputs: callable. Random generator to the call arguments, a dict by
            their names, whose values are arrays or dicts or tuples of them.
        history: tuple of str. Arguments with events on axis 1, of which
            argument `length` or else `LENGTHS` says how many are real.
        candidates: tuple of str. Arguments with candidates on axis 1, which
            the outputs follow.
        event_outputs: bool. Whether the outputs have events on axis 1.
        prepare: callable. Fills weights of the built layer that no training
            changes.
    """

    name: str
    create: Callable[..., keras.layers.Layer]
    inputs: Callable[[np.random.Generator], dict]
    history: tuple = ()
    candidates: tuple = ()
    event_outputs: bool = False
    prepare: Callable[[keras.layers.Layer], None] | None = None


def make_case(name, layer, inputs, *args, **settings):
    """A `Case`; settings that are none of its fields are the layer's."""
    marks = {
        mark: settings.pop(mark)
        for mark in ("history", "candidates", "event_outputs", "prepare")
        if mark in settings
    }

    def create(**kwargs):
        return layer(*args, **settings, **kwargs)

    return Case(name, create, inputs, **marks)
