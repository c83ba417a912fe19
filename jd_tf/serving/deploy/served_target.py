"""A version on a model server, as shadow traffic asks it."""

from collections.abc import Mapping

import numpy as np

from jd_tf.serving.deploy.version_server import VersionServer


class ServedTarget:
    """Answers by a server.

    Args:
        server: where.
        model: its name there.
        version: number or label; the latest if None.
        timeout: seconds of a call.
    """

    def __init__(
        self,
        server: VersionServer,
        model: str,
        version: int | str | None = None,
        timeout: float = 10.0,
    ):
        self._server, self._model = server, model
        self._version, self._timeout = version, timeout
        which = "latest" if version is None else version
        self.name = f"{model} {which} at {server.address}"

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""
        return self._server.predict(
            self._model, signature, inputs, self._version, self._timeout
        )[0]
