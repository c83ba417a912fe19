"""Weights of the experts in the gates of a transfer layer, by category.

Axis letters: M items, C gates, X experts of all modalities.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import entropy

from jd_tf.data.files import read_npz, write_npz
from jd_tf.schema import DataError


@dataclasses.dataclass(frozen=True)
class GateUse:
    """Softmax weights of gates for items.

    Attributes:
        item_ids: [M].
        gates: [M, C, X] float, adding up to 1 over X.
        consumers: C names.
        experts: X names.
    """

    item_ids: np.ndarray
    gates: np.ndarray
    consumers: tuple[str, ...]
    experts: tuple[str, ...]

    def save(self, path: str | Path) -> None:
        """Writes the `.npz` that `load` reads, whole or not at all."""
        arrays = {
            "item_ids": self.item_ids,
            "gates": self.gates.astype(np.float32),
            "consumers": np.array(self.consumers),
            "experts": np.array(self.experts),
        }
        write_npz(path, arrays, compress=True)

    @classmethod
    def load(cls, path: str | Path) -> "GateUse":
        """Reads `item_ids` [M], `gates` [M, X] or [M, C, X], names if any."""
        arrays = read_npz(path, "Name one with gates.", ("item_ids", "gates"))
        gates, ids = arrays["gates"].astype(np.float64), arrays["item_ids"]
        if gates.ndim == 2:
            gates = gates[:, None, :]
        if gates.ndim != 3 or len(gates) != len(ids) or not gates.size:
            raise DataError(
                f"{path}: `gates` must be (items, experts) or (items, "
                f"consumers, experts) for {len(ids)} items. "
                f"Got: {arrays['gates'].shape}."
            )
        if not (gates >= 0).all() or np.abs(gates.sum(axis=2) - 1).max() > 0.01:
            raise DataError(
                f"{path}: `gates` must be >= 0 and add up to 1 over experts."
            )
        names = []
        for name, width in zip(
            ("consumers", "experts"), gates.shape[1:], strict=True
        ):
            found = arrays.get(name, np.arange(1, width + 1))
            if found.shape != (width,):
                raise DataError(
                    f"{path}: `{name}` must name {width}. Got: {found.shape}."
                )
            names.append(tuple(map(str, found)))
        return cls(ids, gates, *names)

    def summary(self, categories: np.ndarray) -> dict[str, Any]:
        """Summarizes every gate over items of known `categories` [M].

        `entropy` is the mean over items, 1 for an even gate; `use` the mean
        weight of every expert; `category_information` the mutual information of
        category and expert. Both are over the entropy of an even gate.
        """
        scale = np.log(max(self.gates.shape[2], 2))
        use = self.gates.mean(axis=0)
        inside = np.zeros(len(self.consumers))
        for name in np.unique(categories):
            mine = self.gates[categories == name]
            inside += len(mine) * entropy(mine.mean(axis=0), axis=1)
        information = entropy(use, axis=1) - inside / len(self.gates)
        mean = entropy(self.gates, axis=2).mean(axis=0)
        return {
            name: {
                "entropy": float(mean[gate] / scale),
                "category_information": float(information[gate] / scale),
                "use": dict(zip(self.experts, use[gate].tolist(), strict=True)),
            }
            for gate, name in enumerate(self.consumers)
        }
