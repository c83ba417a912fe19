"""The common part of exports of a user and an item tower."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.validation import RequestValidator
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Role,
    Schema,
)
from jd_tf.serving.batching import BATCH_SIZES, pad_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.exporting import export_served
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.signatures import column_specs, exported_state
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.export.versions import SCHEMA_FILE
from jd_tf.serving.export.warmup import sample_requests
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    SERVING_DEFAULT,
    VECTOR,
)


class ServedTowers:
    """Two towers with the vectors of a catalogue's items, as they are served.

    `encode_items` takes the candidate columns that the item tower reads, a row
    an item, and answers its `vector` (B, D). Subclasses say what the other
    signatures take and answer.

    Args:
        model: has `user_columns`, `item_columns`, `encode_user` and
            `encode_items`.
        catalogue: the items whose vectors are kept.

    Raises:
        ExportError: the catalogue is empty or lacks a column.
    """

    def __init__(self, model: Any, catalogue: Catalogue):
        missing = [n for n in model.item_columns if n not in catalogue.columns]
        if missing:
            raise ExportError(
                f"the catalogue has no column `{missing[0]}`, which the item "
                f"tower reads. It has: {', '.join(catalogue.columns)}."
            )
        if not len(catalogue):
            raise ExportError("the catalogue has no item to export.")
        self.schema: Schema = model.schema
        self.catalogue = catalogue
        self.model = model
        self._functions = {
            SERVING_DEFAULT: self._serve,
            ENCODE_USER: self._encode_user,
            ENCODE_ITEMS: self._encode_items,
        }

    def kept_weights(self) -> Sequence[Any]:
        """Returns the variables that keep the items."""
        raise NotImplementedError

    def specs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """Returns signature -> input -> spec."""
        raise NotImplementedError

    def inputs_of_items(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what signatures take beside columns of users, to record.

        Args:
            rows: (B,) of the catalogue, an item a request.
        """
        raise NotImplementedError

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def _encode_items(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        items = {name: tensor[:, tf.newaxis] for name, tensor in inputs.items()}
        return {VECTOR: self.model.encode_items(items)[:, 0]}

    def user_specs(self) -> dict[str, tf.TensorSpec]:
        """Returns specs of the columns that the user tower reads."""
        users = column_specs(self.schema, *HISTORY_ROLES, *REQUEST_ROLES)
        return {name: users[name] for name in self.model.user_columns}

    def item_specs(self) -> dict[str, tf.TensorSpec]:
        """Returns specs of what the item tower reads, a row an item."""
        items = column_specs(self.schema, Role.CANDIDATE)
        return {
            name: tf.TensorSpec(
                (None, *items[name].shape[2:]), items[name].dtype, name
            )
            for name in self.model.item_columns
        }

    def variables(self) -> tf.Module:
        """Collects variables and tables of towers and items."""
        weights = (*self.model.weights, *self.kept_weights())
        return exported_state(self.model.layers, weights, "served_towers")

    def functions(self) -> dict[str, Any]:
        """Traces the signatures: concrete functions by name."""
        return {
            name: tf.function(
                self._functions[name], autograph=False
            ).get_concrete_function(**specs)
            for name, specs in self.specs().items()
        }

    def call(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Calls the live model, without a trace or a SavedModel."""
        specs = self.specs()[signature]
        tensors = {
            name: tf.constant(
                value.tolist() if value.dtype == object else value,
                specs[name].dtype,
                value.shape,
            )
            for name, value in inputs.items()
        }
        answer = self._functions[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}

    @property
    def signatures(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Inputs of the signatures, as a `LoadedModel` has them."""
        return {
            signature: {
                "inputs": {
                    name: {"dtype": spec.dtype.name, "shape": [*spec.shape]}
                    for name, spec in specs.items()
                }
            }
            for signature, specs in self.specs().items()
        }

    def record(self, requests: Sequence[Mapping[str, Any]]) -> list[Recording]:
        """Calls every signature with as many rows as a server joins."""
        schema, specs = self.schema, self.specs()
        checker = RequestValidator(schema, SERVING_ROLES)
        columns = [c for c in schema.columns() if c.name in self.user_specs()]
        names = {column.name for column in columns}
        checked = [checker.check(request, names) for request in requests]
        widths = {b.length: b.max_length for b in schema.behaviors}
        calls = []
        for size in BATCH_SIZES:
            users = list(itertools.islice(itertools.cycle(checked), size))
            rows = np.resize(np.arange(len(self.catalogue)), size)
            batch = pad_requests(users, columns, widths)
            batch |= self.inputs_of_items(rows)
            items = {n: c[rows] for n, c in self.catalogue.columns.items()}
            for name, taken in specs.items():
                source = items if name == ENCODE_ITEMS else batch
                inputs = {n: source[n] for n in taken}
                calls.append(Recording(name, inputs, self.call(name, inputs)))
        return calls

    def export(
        self,
        output: str | Path,
        name: str,
        requests: Sequence[Mapping[str, Any]] | None,
        card: Mapping[str, Any],
    ) -> Path:
        """Writes, verifies and publishes the next version.

        Args:
            output: the folder of all models.
            name: of the model in there.
            requests: unpadded, of the recorded calls; None generates them.
            card: of the model card, beside the number of items.

        Returns:
            The version folder.

        Raises:
            ExportError: the SavedModel is refused; nothing is left behind.
        """
        given = requests or sample_requests(self.schema)
        return export_served(
            self,
            self.model,
            output,
            name,
            lambda _: self.record(given),
            TOLERANCE,
            {"num_items": len(self.catalogue), **card},
            lambda folder: self.schema.save(folder / SCHEMA_FILE),
        )
