"""Statistics of the training data: of numbers, and of ids."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.layers import FeatureNormalization, IdOverlap, IdRanks
from jd_tf.losses.multi_objective import cell_weights
from jd_tf.schema import SERVING_ROLES, Schema, SchemaError


class AdaptedFeatures:
    """A mixin before `keras.Model`: normalizing layers, adapted to batches.

    Each `FeatureNormalization` of the model is named after the dense column
    of the schema that it reads, and each `IdRanks` after its id column. The
    units of a ranker's amounts are their means: of the impressions that had
    the outcome an amount is `given`, or of all.
    """

    name: str
    schema: Schema
    # Units (A,) of a ranker's amounts.
    amount_scales: Any = ()

    @property
    def normalizations(self) -> dict[str, FeatureNormalization]:
        """The layers that normalize dense columns: those of their names."""
        return {
            layer.name: layer
            for layer in self._flatten_layers()  # type: ignore[attr-defined]
            if isinstance(layer, FeatureNormalization) and layer.built
        }

    @property
    def overlaps(self) -> list[IdOverlap]:
        """The layers that weigh values of multi-valued id columns."""
        return [
            layer
            for layer in self._flatten_layers()  # type: ignore[attr-defined]
            if isinstance(layer, IdOverlap) and any(layer.value_rows)
            if hasattr(self, "item_rows")
        ]

    @property
    def id_ranks(self) -> dict[str, IdRanks]:
        """The layers that number frequent ids, by the names of columns."""
        return {
            layer.name: layer
            for layer in self._flatten_layers()  # type: ignore[attr-defined]
            if isinstance(layer, IdRanks)
        }

    @property
    def adapted(self) -> bool:
        """Returns whether all of them have statistics of data."""
        layers = [*self.normalizations.values(), *self.overlaps]
        return all(layer.adapted for layer in layers) and not (
            np.any(np.asarray(self.amount_scales) == 1.0)
        )

    def adapt(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Sets the statistics that normalize numbers and weigh values of ids.

        To be called once, before training; `train` does. The statistics are
        weights: files, checkpoints and exports of the model have them.

        Args:
            batches: of training requests, spread over all of them; their
                dense columns, and ids that trees read, are held in memory.
                With labels, of a ranker that predicts amounts.
        """
        columns: dict[str, Any] = {**self.normalizations, **self.id_ranks}
        overlaps = self.overlaps
        rows: dict[str, list] = {name: [] for name in columns}
        items: list[np.ndarray] = []
        scales, sums = np.array(self.amount_scales), []
        for batch in batches if columns or overlaps or scales.size else ():
            if scales.size:
                sums.append(_amount_sums(batch, self.schema.given_indices))
            if overlaps:
                ids = self.item_rows(batch)  # type: ignore[attr-defined]
                shown = np.asarray(batch["num_candidates"])[:, None]
                items.append(ids[np.arange(ids.shape[1]) < shown])
            for name, kept in rows.items():
                values = np.asarray(batch[name])
                if length := self.schema.column(name).length:
                    place = np.arange(values.shape[1])
                    values = values[place < np.asarray(batch[length])[:, None]]
                kept.append(values)
        if scales.size:
            total, count = np.sum(sums, axis=0)[:, -scales.size :]
            # Without any in the sample they stay: it is the unit alone.
            known = (total > 0) & (count > 0)
            np.divide(total, count, out=scales, where=known, casting="unsafe")
            self.amount_scales.assign(scales)
        for name, layer in columns.items():
            layer.adapt(np.concatenate(rows[name]))
        for overlap in overlaps:
            overlap.adapt(np.concatenate(items))

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as Keras does; warns if `adapt` was not called before.

        Raises:
            SchemaError: a model of a `tf.distribute` strategy reads strings.
        """
        strategy: Any = self.distribute_strategy  # type: ignore[attr-defined]
        columns = self.schema.columns(*SERVING_ROLES)
        texts = sorted({c.name for c in columns if c.dtype == "string"})
        if texts and strategy.num_replicas_in_sync > 1:
            raise SchemaError(
                f"columns {', '.join(texts)} are strings, which Keras cannot "
                "spread over several devices. Fit on one device, outside the "
                "scope of the strategy, or give these ids whole numbers."
            )
        if not self.adapted:
            warnings.warn(
                f"model `{self.name}` was never adapted: its dense columns "
                "keep mean 0 and scale 1. Call `adapt` with training batches.",
                stacklevel=2,
            )
        return super().fit(*args, **kwargs)  # type: ignore[misc]


def _amount_sums(
    batch: Mapping[str, Any], given: Sequence[int]
) -> list[list[float]]:
    """Returns sums (2, T) of labels, and of weights where `given` happened."""
    weights = np.asarray(cell_weights(batch), np.float64)
    labels = np.where(weights > 0, batch["labels"], 0.0)
    happened = [
        weights[..., t] * ((labels[..., parent] > 0) if parent >= 0 else 1.0)
        for t, parent in enumerate(given)
    ]
    return [
        (labels * weights).sum((0, 1)).tolist(),
        np.sum(happened, (1, 2)).tolist(),
    ]
