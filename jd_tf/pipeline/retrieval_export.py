"""A two-tower model and its index become one version folder."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.dataset import split_files
from jd_tf.data.validation import RequestValidator
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.retrieval_index import RetrievalIndex
from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Role,
    Schema,
)
from jd_tf.serving.batching import BATCH_SIZES, pad_requests
from jd_tf.serving.client.request_file import read_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.exporting import export_served
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.safe_calls import safe_inputs
from jd_tf.serving.export.signatures import column_specs, exported_state
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.export.versions import SCHEMA_FILE
from jd_tf.serving.export.warmup import sample_requests
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    ITEM_ID,
    NUM_EXCLUDED,
    NUM_FOUND,
    SERVING_DEFAULT,
    VECTOR,
)
from jd_tf.training.folder_training import VALIDATION
from jd_tf.training.retrieval.retrieval_validator import item_vectors
from jd_tf.training.workdir import load_trained

_NUM_REQUESTS = 16


class ServedRetriever:
    """A two-tower model with an index of a catalogue, as it is served.

    `serving_default` takes the history and context columns that the user
    tower reads, `excluded_item_id` (B, X) and `num_excluded` (B,) int32, and
    answers `item_id` (B, K), `score` (B, K), best first, and `num_found` (B,)
    int32; beyond it ids are 0 or "" and scores the lowest there are. Items of
    the history are not found either, unless the model's `repeats` is set.

    `encode_user` takes the same and answers what a search elsewhere needs: the
    user's `vector` (B, V, D), of which each counts with its largest inner
    product, and `excluded_item_id` (B, L + X), 0 or "" for none.

    `encode_items` takes the candidate columns that the item tower reads, a row
    an item, and answers its `vector` (B, D): what the index would hold of a
    new item.

    Args:
        model: a `TwoTower`.
        catalogue: the items that can be found.
        count: K.
    """

    def __init__(self, model: Any, catalogue: Catalogue, count: int):
        missing = [n for n in model.item_columns if n not in catalogue.columns]
        if missing:
            raise ExportError(
                f"the catalogue has no column `{missing[0]}`, which the item "
                f"tower reads. It has: {', '.join(catalogue.columns)}."
            )
        if count < 1:
            raise ExportError(f"`count` must be at least 1. Got: {count}.")
        self.schema: Schema = model.schema
        self.count = min(count, len(catalogue))
        self._model = model
        self.index = RetrievalIndex(
            catalogue.item_id.tolist(), item_vectors(model, catalogue.columns)
        )
        self._functions = {
            SERVING_DEFAULT: self._find,
            ENCODE_USER: self._encode_user,
            ENCODE_ITEMS: self._encode_items,
        }

    def variables(self) -> tf.Module:
        """Collects variables and tables of towers and index."""
        weights = (*self._model.weights, *self.index.layer.weights)
        return exported_state(self._model.layers, weights, "served_retriever")

    def specs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """Returns signature -> input -> spec."""
        users = column_specs(self.schema, *HISTORY_ROLES, *REQUEST_ROLES)
        users = {name: users[name] for name in self._model.user_columns}
        dtype = self.schema.item_columns[0].dtype
        users[EXCLUDED] = tf.TensorSpec((None, None), dtype, EXCLUDED)
        users[NUM_EXCLUDED] = tf.TensorSpec((None,), tf.int32, NUM_EXCLUDED)
        items = column_specs(self.schema, Role.CANDIDATE)
        return {
            SERVING_DEFAULT: users,
            ENCODE_USER: users,
            ENCODE_ITEMS: {
                name: tf.TensorSpec(
                    (None, *items[name].shape[2:]), items[name].dtype, name
                )
                for name in self._model.item_columns
            },
        }

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

    def _find(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        user = self._encode_user(**inputs)
        ids, scores, found = self.index.search(
            user[VECTOR], self.count, user[EXCLUDED]
        )
        return {ITEM_ID: ids, "score": scores, NUM_FOUND: found}

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        specs = self.specs()[SERVING_DEFAULT]
        safe = safe_inputs(inputs, specs, self.schema.columns())
        excluded = [_real(safe[EXCLUDED], safe[NUM_EXCLUDED])]
        if not self._model.config.softmax.repeats:
            behavior = self._model.behavior
            history = safe[f"{behavior.name}_{ITEM_ID}"]
            excluded.append(_real(history, safe[behavior.length]))
        return {
            VECTOR: self._model.encode_user(safe),
            EXCLUDED: tf.concat(excluded, axis=1),
        }

    def _encode_items(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        items = {name: tensor[:, tf.newaxis] for name, tensor in inputs.items()}
        return {VECTOR: self._model.encode_items(items)[:, 0]}


def export_retrieval(
    workdir: str | Path,
    catalogue: Catalogue,
    data: str | Path | None = None,
    output: str | Path = "saved_models",
    name: str = "",
    count: int = 500,
    split: str = VALIDATION,
    tolerance: float = TOLERANCE,
) -> Path:
    """Exports the best weights of a run with an index of a catalogue.

    Called again with a larger catalogue it writes the next version, in which
    new items can be found too; nothing is trained.

    Args:
        workdir: of `train_retrieval`.
        catalogue: the items that can be found.
        data: source of the requests of the recorded calls: a data folder or
            a file of requests; None generates them.
        output: the folder of all models.
        name: of the model; by default its registered name.
        count: items K that an answer has at most.
        split: of the data.
        tolerance: the largest relative difference between live and reloaded
            model.

    Returns:
        The version folder, verified.

    Raises:
        DataError: if run, catalogue or requests do not fit, or the SavedModel
            is refused.
    """
    model = load_trained(workdir)
    requests = None
    if data is not None:
        path = Path(data)
        path = next(iter(split_files(path, split))) if path.is_dir() else path
        requests = read_requests(path, model.schema, _NUM_REQUESTS)
    return export_retriever(
        model, catalogue, output, name, count, requests, tolerance
    )


def export_retriever(
    model: Any,
    catalogue: Catalogue,
    output: str | Path,
    name: str = "",
    count: int = 500,
    requests: Sequence[Mapping[str, Any]] | None = None,
    tolerance: float = TOLERANCE,
) -> Path:
    """Writes, verifies and publishes the next version of a live model.

    Arguments are those of `export_retrieval`; `requests` are unpadded.
    """
    served = ServedRetriever(model, catalogue, count)
    given = requests or sample_requests(model.schema)
    return export_served(
        served,
        model,
        output,
        name or model.registered_name,
        lambda _: _calls(served, catalogue, given),
        tolerance,
        {"num_items": len(catalogue), "count": served.count},
        lambda folder: model.schema.save(folder / SCHEMA_FILE),
    )


def _calls(
    served: ServedRetriever,
    catalogue: Catalogue,
    requests: Sequence[Mapping[str, Any]],
) -> list[Recording]:
    """Calls every signature on as many rows as a server joins to a batch."""
    schema, specs = served.schema, served.specs()
    checker = RequestValidator(schema, SERVING_ROLES)
    columns = [c for c in schema.columns() if c.name in specs[SERVING_DEFAULT]]
    checked = [
        checker.check(request, {c.name for c in columns})
        for request in requests
    ]
    widths = {b.length: b.max_length for b in schema.behaviors}
    calls = []
    for size in BATCH_SIZES:
        users = list(itertools.islice(itertools.cycle(checked), size))
        rows = np.resize(np.arange(len(catalogue)), size)
        batch = pad_requests(users, columns, widths)
        # The best that each user is offered, so that it must be left out.
        batch[EXCLUDED] = catalogue.item_id[rows][:, np.newaxis]
        batch[NUM_EXCLUDED] = np.ones(size, np.int32)
        items = {n: catalogue.columns[n][rows] for n in specs[ENCODE_ITEMS]}
        calls += [
            Recording(name, inputs, served.call(name, inputs))
            for name, inputs in (
                (SERVING_DEFAULT, batch),
                (ENCODE_USER, batch),
                (ENCODE_ITEMS, items),
            )
        ]
    return calls


def _real(ids: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns ids (B, X) with padding beyond the length."""
    # What a server pads with is another's first element.
    inside = tf.range(tf.shape(ids)[1]) < length[:, tf.newaxis]
    return tf.where(inside, ids, tf.zeros_like(ids))
