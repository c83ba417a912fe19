"""Losses and metrics of `compile` for models of several outputs."""

from collections.abc import Mapping
from typing import Any

import keras


class CompiledMetrics:
    """A mixin before `keras.Model`: targets for some outputs are enough.

    Keras wants a target for every output and passes sample weights to some
    metrics only. Here outputs without a target are left out, and every metric
    is weighted: padding has sample weight 0, and must not count in any.
    """

    def compile(
        self,
        *args: Any,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compiles as Keras does, with every metric weighted."""
        weighted = weighted_metrics or metrics
        if weighted_metrics and metrics:
            weighted = {
                name: _listed(metrics, name) + _listed(weighted_metrics, name)
                for name in sorted({*metrics, *weighted_metrics})
            }
        super().compile(*args, weighted_metrics=weighted, **kwargs)  # type: ignore[misc]

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        model: Any = self
        if model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the loss of the outputs that have targets."""
        y_pred = _with_targets(y_pred, y)
        return super().compute_loss(x, y, y_pred, sample_weight, training)  # type: ignore[misc]

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics of the outputs that have targets."""
        y_pred = _with_targets(y_pred, y)
        return super().compute_metrics(x, y, y_pred, sample_weight)  # type: ignore[misc]


def _listed(metrics: Mapping[str, Any], name: str) -> list:
    found = metrics.get(name, [])
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _with_targets(y_pred: Any, y: Any) -> Any:
    if isinstance(y, Mapping) and isinstance(y_pred, Mapping):
        return {name: y_pred[name] for name in y_pred if name in y}
    return y_pred
