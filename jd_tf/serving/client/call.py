"""What is asked of a served model."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Call:
    """A signature and what it is given.

    Attributes:
        signature: its name.
        inputs: arrays by input name.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Describe:
    """Asks which version answers, and what its signatures are."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        outputs: arrays by output name.
        version: which version answered.
    """

    outputs: Mapping[str, np.ndarray]
    version: int
