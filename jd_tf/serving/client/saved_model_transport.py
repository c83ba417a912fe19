"""Calls to a SavedModel in this process."""

from pathlib import Path

from jd_tf.schema import Schema
from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.errors import ClosedError, ServerError
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.transport import Transport
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import SCHEMA_FILE, resolve


class SavedModelTransport(Transport):
    """A version folder, loaded once. Its version does not change.

    Args:
        path: a version folder, or a model's folder, whose highest version is
            then taken.

    Raises:
        ExportError: if there is no whole SavedModel.
    """

    remote = False

    def __init__(self, path: str | Path):
        # TensorFlow, which only this transport needs, takes seconds to load.
        from jd_tf.serving.export.loading import LoadedModel

        folder = resolve(path)
        self.folder = folder
        self.where = str(folder)
        self.schema = Schema.load(folder / SCHEMA_FILE)
        self._model: LoadedModel | None = LoadedModel(folder)
        numbered = folder.name.isascii() and folder.name.isdigit()
        self._description = ModelDescription(
            int(folder.name) if numbered else 0,
            self._model.signatures,
        )

    def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`; it cannot be cut short."""
        del timeout
        model = self._model
        if model is None:
            raise ClosedError(f"{self.where}: closed. Open a new client.")
        try:
            outputs = model.call(call.signature, call.inputs)
        except ExportError as error:
            raise ServerError(str(error)) from error
        return Answer(outputs, self._description.version)

    def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        del timeout
        if self._model is None:
            raise ClosedError(f"{self.where}: closed. Open a new client.")
        return self._description

    def close(self) -> None:
        """Lets go of the model."""
        self._model = None
