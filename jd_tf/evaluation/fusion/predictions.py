"""Inputs of fusion: probabilities, outcomes and segments; their file."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_npz, write_npz
from jd_tf.evaluation.collect import Predictions
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import DataError, Schema

_SEGMENT, _SCORE = "segment_", "score_"


@dataclasses.dataclass(frozen=True)
class FusionPredictions:
    """Predictions of a ranker for R requests, and their outcomes."""

    probabilities: np.ndarray  # [R, N, T] float32, over all impressions
    labels: np.ndarray  # [R, N, T] float32 >= 0; 0 in padding
    num_candidates: np.ndarray  # [R] int
    objectives: tuple[str, ...]
    values: tuple[float, ...]
    gains: np.ndarray | None = None  # [R, N] a reward instead of the values
    # name -> [R], and name -> [R, N] of rankings to compare with fused ones
    segments: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    # [R] and [R, N], by which `PredictionsFile` finds impressions again
    request_id: np.ndarray | None = None
    item_id: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        values = tuple(float(value) for value in self.values)
        object.__setattr__(self, "values", values)
        shape, most = self.probabilities.shape, np.finfo(np.float32).max
        if len(shape) != 3 or len(self.objectives) != shape[2]:
            raise DataError(
                f"`probabilities` must be [R, N, {len(self.objectives)}], as "
                f"there are objectives. Got: {shape}."
            )
        if len(values) != shape[2] or not np.isfinite(values).all():
            raise DataError(
                f"`values` must be {shape[2]} finite numbers. Got: {values}."
            )
        _check_shape("num_candidates", self.num_candidates, shape[:1])
        count, width = self.num_candidates, shape[1]
        if len(count) and not 0 <= count.min() <= count.max() <= width:
            raise DataError(
                f"`num_candidates` must lie in 0..{width}. "
                f"Got: {count.min()}..{count.max()}."
            )
        for name, ids in self.segments.items():
            _check_shape(f"{_SEGMENT}{name}", ids, shape[:1])
        self._check("probabilities", self.probabilities, shape, 0.0, 1.0)
        self._check("labels", self.labels, shape, 0.0, most)
        if self.gains is not None:
            self._check("gains", self.gains, shape[:2], -most, most)
        for name, score in self.scores.items():
            name = f"{_SCORE}{name}"
            self._check(name, score, shape[:2], -np.inf, np.inf)

    def _check(
        self,
        name: str,
        array: np.ndarray,
        shape: tuple[int, ...],
        low: float,
        high: float,
    ) -> None:
        """Raises a DataError for a wrong shape or a number outside."""
        _check_shape(name, array, shape)
        real = self.real.reshape(self.real.shape + (1,) * (array.ndim - 2))
        odd = real & ~((array >= low) & (array <= high))
        if odd.any():
            place = tuple(int(i) for i in np.argwhere(odd)[0])
            raise DataError(
                f"`{name}` must lie in [{low:g}, {high:g}]. "
                f"Got: {array[place]} at {place}."
            )

    @property
    def real(self) -> np.ndarray:
        """[R, N] bool, True where a candidate is real."""
        return real_cells(self.num_candidates, self.probabilities.shape[1])

    def total_gains(self) -> np.ndarray:
        """[R, N] float64, gain of each candidate; 0 in padding."""
        gains = self.gains
        if gains is None:
            gains = self.labels.astype(np.float64) @ np.array(self.values)
        return np.where(self.real, gains, 0.0).astype(np.float64)

    def expected_values(self) -> np.ndarray:
        """[R, N] business value times probability, summed: the plain rule."""
        values = np.array(self.values, np.float32)
        return self.probabilities.astype(np.float32) @ values

    def with_values(self, values: Sequence[float]) -> "FusionPredictions":
        """The same under other business values; a reward is set aside."""
        return dataclasses.replace(self, values=tuple(values), gains=None)

    def save(self, path: str | Path) -> None:
        """Writes an `.npz` file, whole or not at all."""
        single = {
            "probabilities": self.probabilities,
            "labels": self.labels,
            **({} if self.gains is None else {"gains": self.gains}),
            **{f"{_SCORE}{name}": a for name, a in self.scores.items()},
        }
        arrays: dict[str, Any] = {
            "num_candidates": np.asarray(self.num_candidates),
            "objectives": np.array(self.objectives, np.str_),
            "values": np.array(self.values, np.float64),
            **{name: a.astype(np.float32) for name, a in single.items()},
            **{
                f"{_SEGMENT}{n}": plain_ids(a) for n, a in self.segments.items()
            },
            **{
                name: plain_ids(ids)
                for name in ("request_id", "item_id")
                if (ids := getattr(self, name)) is not None
            },
        }
        write_npz(path, arrays, compress=True)

    @classmethod
    def load(cls, path: str | Path) -> "FusionPredictions":
        """Reads what `save` wrote; a DataError names file and problem."""
        arrays = read_npz(path, "`evaluate --predictions` writes one.")
        try:
            return cls(
                probabilities=arrays["probabilities"],
                labels=arrays["labels"],
                num_candidates=arrays["num_candidates"],
                objectives=arrays["objectives"].tolist(),
                values=arrays["values"].tolist(),
                gains=arrays.get("gains"),
                segments=_named(arrays, _SEGMENT),
                scores=_named(arrays, _SCORE),
                request_id=arrays.get("request_id"),
                item_id=arrays.get("item_id"),
            )
        except KeyError as error:
            raise DataError(f"{path}: has no array {error}.") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    @classmethod
    def of_run(
        cls, predictions: Predictions, system: str
    ) -> "FusionPredictions":
        """Predictions of a ranker; kept columns are segments and gains."""
        schema, outputs = predictions.schema, predictions.systems[system]
        refuse_amounts(schema)
        real = real_cells(
            predictions.num_candidates, predictions.labels.shape[1]
        )
        # As the value of `evaluate_predictions`: judged or not, no matter how.
        counts = real[..., None] & (predictions.label_weights > 0)
        rewards = predictions.columns.get("reward")
        if rewards is not None:
            # A list's least reward, if negative, is taken off.
            rewards = np.where(real, rewards, 0.0)
            rewards = rewards - rewards.min(axis=1, keepdims=True, initial=0.0)
            rewards = np.where(real, rewards, 0.0).astype(np.float32)
        return cls(
            outputs["probabilities"],
            np.where(counts, predictions.labels, 0.0).astype(np.float32),
            predictions.num_candidates,
            schema.objective_names,
            schema.objective_values,
            rewards,
            predictions.columns_by_request(),
            {system: outputs["score"]},
            predictions.request_ids,
            predictions.item_ids,
        )


def refuse_amounts(schema: Schema) -> None:
    """Raises a DataError that names a schema's amounts."""
    if schema.amount_names:
        raise DataError(
            "files of predictions and searches of fusion weights are of "
            "outcomes alone. Leave out the amounts: "
            f"{', '.join(schema.amount_names)}."
        )


def _check_shape(name: str, array: np.ndarray, wanted: Sequence[int]) -> None:
    if np.shape(array) != tuple(wanted):
        raise DataError(
            f"`{name}` must have shape {tuple(wanted)}. Got: {np.shape(array)}."
        )


def _named(
    arrays: Mapping[str, np.ndarray], prefix: str
) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def plain_ids(ids: np.ndarray) -> np.ndarray:
    """Numbers as they are, everything else as text: no pickles in files."""
    ids = np.asarray(ids)
    if ids.dtype.kind in "biuf":
        return ids
    texts = [i.decode() if isinstance(i, bytes) else str(i) for i in ids]
    return np.array(texts, np.str_)
