"""Loads a SavedModel from its folder alone, without code of the model."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.files import plain_path
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.model_card import changed_files
from jd_tf.serving.export.verification.folder_check import read_graph
from jd_tf.serving.protos.messages import signature_table

_INIT = "__saved_model_init_op"
_EMPTY_LINE = "Graph execution error:"


class LoadedModel:
    """A SavedModel whose signatures are called with arrays, from any threads.

    It is restored by its graph's own ops, as in a model server: a variable
    that these leave unfilled is missing here too, where `tf.saved_model.load`
    would find it by the Python objects that held it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        for error in changed_files(self.folder):
            raise ExportError(error)
        meta_graph = read_graph(self.folder)
        self.signatures = signature_table(meta_graph)
        if not (self.folder / "variables" / "variables.index").is_file():
            # It would load, and the first request would fail.
            raise ExportError(f"{folder}: has no variables. Export again.")
        self._definitions = meta_graph.signature_def
        self._callables: dict[str, Any] = {}
        self._lock = threading.Lock()
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default():
                tf.import_graph_def(meta_graph.graph_def, name="")
            with plain_path(self.folder) as path:
                self._restore(meta_graph, path)
        except (tf.errors.OpError, ValueError, KeyError) as error:
            raise ExportError(
                f"{folder}: cannot be loaded; truncated or broken: "
                f"{_first_line(error)}. Copy or export it again."
            ) from error

    def call(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Runs a signature on exactly the inputs that it takes, by name."""
        if signature not in self.signatures:
            raise ExportError(
                f"{self.folder}: no signature `{signature}`, only "
                f"{sorted(self.signatures)}."
            )
        taken = self.signatures[signature]["inputs"]
        if taken.keys() != inputs.keys():
            raise ExportError(
                f"signature `{signature}` takes {sorted(taken)}, got "
                f"{sorted(inputs)}."
            )
        arrays = [
            _array(inputs[name], signature, name, **tensor)
            for name, tensor in taken.items()
        ]
        try:
            outputs = self._callable(signature)(*arrays)
        except (tf.errors.OpError, ValueError) as error:
            raise ExportError(
                f"{self.folder}: signature `{signature}` fails: "
                f"{_first_line(error)}."
            ) from error
        names = self.signatures[signature]["outputs"]
        return dict(zip(names, outputs, strict=True))

    def _restore(self, meta_graph: Any, folder: Path) -> None:
        saver = meta_graph.saver_def
        prefix = str(folder / "variables" / "variables")
        feeds = {
            info.tensor_info.name: str(folder / "assets" / info.filename)
            for info in meta_graph.asset_file_def
        }
        if saver.restore_op_name:
            self._session.run(
                saver.restore_op_name,
                {**feeds, saver.filename_tensor_name: prefix},
            )
        if _INIT in self._definitions:
            (init,) = self._definitions[_INIT].outputs.values()
            self._session.run(init.name, feeds)

    def _callable(self, signature: str) -> Any:
        with self._lock:
            if signature not in self._callables:
                infos = self._definitions[signature]
                table = self.signatures[signature]
                self._callables[signature] = self._session.make_callable(
                    [infos.outputs[name].name for name in table["outputs"]],
                    [infos.inputs[name].name for name in table["inputs"]],
                )
            return self._callables[signature]


def _array(
    value: Any, signature: str, name: str, dtype: str, shape: list | None
) -> np.ndarray:
    array = np.asarray(value)
    where = f"signature `{signature}`: input `{name}` must"
    if array.dtype.name != dtype:
        is_text = array.dtype.kind in "OSU"
        wanted = tf.as_dtype(dtype).as_numpy_dtype
        castable = is_text == (dtype == "string")
        if not castable or not np.can_cast(array.dtype, wanted, "same_kind"):
            raise ExportError(f"{where} be {dtype}. Got: {array.dtype.name}.")
        array = array.astype(wanted, copy=False)
    if not tf.TensorShape(shape).is_compatible_with(array.shape):
        raise ExportError(
            f"{where} have the shape {shape}. Got: {list(array.shape)}."
        )
    return array


def _first_line(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error)
    lines = (line.strip() for line in message.splitlines())
    useful = (line for line in lines if line and line != _EMPTY_LINE)
    return next(useful, type(error).__name__)
