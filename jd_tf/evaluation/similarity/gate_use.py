"""Which experts the gates of a transfer layer listen to, by category.

Axis letters: M items, C consumers (gates), X experts of all modalities.
"""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np

from jd_tf.data.files import write_whole
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
        content = io.BytesIO()
        np.savez_compressed(
            content,
            item_ids=self.item_ids,
            gates=self.gates.astype(np.float32),
            consumers=np.array(self.consumers),
            experts=np.array(self.experts),
        )
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "GateUse":
        """Reads an `.npz`.

        Args:
            path: holds `item_ids` [M], `gates` [M, X] or [M, C, X], and
                perhaps names: `consumers` [C] and `experts` [X].

        Raises:
            DataError: naming file, array and what is wrong with it.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path}: no such file of gates.")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: not an .npz of plain arrays: {error}."
            ) from error
        for name in ("item_ids", "gates"):
            if name not in arrays:
                raise DataError(
                    f"{path}: has no array `{name}`, only {sorted(arrays)}."
                )
        gates, ids = arrays["gates"], arrays["item_ids"]
        if gates.ndim == 2:
            gates = gates[:, None, :]
        if gates.ndim != 3 or len(gates) != len(ids) or not gates.size:
            raise DataError(
                f"{path}: `gates` must be (items, experts) or (items, "
                f"consumers, experts) for {len(ids)} items. "
                f"Got: {arrays['gates'].shape}."
            )
        gates = gates.astype(np.float64)
        if not (gates >= 0).all() or np.abs(gates.sum(axis=2) - 1).max() > 0.01:
            raise DataError(
                f"{path}: `gates` must be >= 0 and add up to 1 over experts."
            )
        names = {}
        for axis, name in ((1, "consumers"), (2, "experts")):
            width = gates.shape[axis]
            found = arrays.get(name, np.arange(1, width + 1))
            if found.shape != (width,):
                raise DataError(
                    f"{path}: `{name}` must name {width}. Got: {found.shape}."
                )
            names[name] = tuple(str(value) for value in found)
        return cls(ids, gates, **names)

    def entropy(self) -> np.ndarray:
        """[M, C] entropy of each gate over that of an even spread, 0 to 1."""
        return self._relative_entropy(self.gates)

    def use(self) -> np.ndarray:
        """[C, X] mean weight of every expert."""
        return self.gates.mean(axis=0)

    def use_by(
        self, categories: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean weight of every expert in every category.

        Args:
            categories: [M].

        Returns:
            Names [K], items [K] and weights [K, C, X], most items first.
        """
        names, codes = np.unique(categories, return_inverse=True)
        codes = codes.reshape(-1)
        counts = np.bincount(codes)
        sums = np.zeros((len(names), *self.gates.shape[1:]))
        np.add.at(sums, codes, self.gates)
        order = np.argsort(-counts, kind="stable")
        means = sums / counts[:, None, None]
        return names[order], counts[order], means[order]

    def told_by(self, categories: np.ndarray) -> np.ndarray:
        """[C] how much a category tells of the expert, 0 to 1.

        Mutual information of category and expert over the entropy of an
        even spread: 0 where all categories use the experts alike.
        """
        _, counts, means = self.use_by(categories)
        share = counts / counts.sum()
        within = share @ self._relative_entropy(means)
        return self._relative_entropy(self.use()) - within

    def take(self, places: np.ndarray) -> "GateUse":
        """Some of the items, in the given order."""
        return dataclasses.replace(
            self, item_ids=self.item_ids[places], gates=self.gates[places]
        )

    def _relative_entropy(self, weights: np.ndarray) -> np.ndarray:
        size = weights.shape[-1]
        if size < 2:
            return np.zeros(weights.shape[:-1])
        logs = np.log(np.where(weights > 0, weights, 1.0))
        return -(weights * logs).sum(axis=-1) / np.log(size)
