"""A SavedModel on its own: a folder, no code of the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.serving.errors import ExportError
from jd_tf.serving.graph_check import read_graph
from jd_tf.serving.model_card import check_files

SCHEMA_FILE = "assets.extra/schema.json"


class LoadedModel:
    """Calls the signatures of a SavedModel with arrays.

    Args:
        folder: holds `saved_model.pb`.

    Raises:
        ExportError: if the folder cannot be loaded.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        check_files(self.folder)
        read_graph(self.folder)
        if not (self.folder / "variables" / "variables.index").is_file():
            # It would load, and fail with the first request.
            raise ExportError(f"{folder}: has no variables. Export again.")
        try:
            # Kept alive here: the signatures alone do not hold the variables.
            self._loaded = tf.saved_model.load(str(folder))
        except Exception as error:
            first = str(error).strip().splitlines()[:1]
            raise ExportError(
                f"{folder}: cannot be loaded; truncated or broken: "
                f"{''.join(first)}. Copy or export it again."
            ) from error
        self.signatures = self._loaded.signatures

    def call(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: arrays by input name, exactly those it takes.

        Returns:
            Arrays by output name.

        Raises:
            ExportError: if there is no such signature, or it fails.
        """
        if signature not in self.signatures:
            raise ExportError(
                f"{self.folder}: no signature `{signature}`, only "
                f"{sorted(self.signatures)}."
            )
        function = self.signatures[signature]
        specs = function.structured_input_signature[1]
        if set(specs) != set(inputs):
            raise ExportError(
                f"signature `{signature}` takes {sorted(specs)}, got "
                f"{sorted(inputs)}."
            )
        tensors = {
            name: tf.constant(inputs[name], spec.dtype)
            for name, spec in specs.items()
        }
        try:
            outputs = function(**tensors)
        except tf.errors.OpError as error:
            raise ExportError(
                f"{self.folder}: signature `{signature}` fails: "
                f"{error.message.splitlines()[0]}."
            ) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}
