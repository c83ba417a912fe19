"""Statistics of the training data: of numbers, and of ids."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.layers import FeatureNormalization, IdOverlap, IdRanks
from jd_tf.schema import SERVING_ROLES, Schema, SchemaError


class AdaptedFeatures:
    """A mixin before `keras.Model`: normalizing layers, adapted to batches.

    Each `FeatureNormalization` of the model is named after the dense column
    of the schema that it reads, and each `IdRanks` after its id column.
    """

    name: str
    schema: Schema

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
        return all(layer.adapted for layer in layers)

    def adapt(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Sets the statistics that normalize numbers and weigh values of ids.

        To be called once, before training; `train` does. The statistics are
        weights: files, checkpoints and exports of the model have them.

        Args:
            batches: of training requests, spread over all of them; their
                dense columns, and ids that trees read, are held in memory.
        """
        columns: dict[str, Any] = {**self.normalizations, **self.id_ranks}
        overlaps = self.overlaps
        rows: dict[str, list] = {name: [] for name in columns}
        items: list[np.ndarray] = []
        for batch in batches if columns or overlaps else ():
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
