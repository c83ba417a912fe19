"""A user, encoded."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class UserState:
    """What `encode_user` answered, for `rank_candidates` of one version.

    Attributes:
        version: which version's weights it is of; no other can read it.
        tensors: arrays by name.
    """

    version: int
    tensors: Mapping[str, np.ndarray]

    @property
    def num_bytes(self) -> int:
        """Memory it takes."""
        return sum(array.nbytes for array in self.tensors.values())
