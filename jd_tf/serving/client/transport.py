"""Calls to a served model, and the ways they take."""

import abc
import asyncio
import dataclasses
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.schema import Schema
from jd_tf.serving.client.errors import ClosedError, ServerError
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import SCHEMA_FILE, resolve


@dataclasses.dataclass(frozen=True)
class Call:
    """A signature and its inputs.

    Attributes:
        signature: its name.
        inputs: arrays by input name.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Describe:
    """A call for the version that answers now and its signatures."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The outputs of a call.

    Attributes:
        outputs: arrays by output name.
        version: the version that answered.
    """

    outputs: Mapping[str, np.ndarray]
    version: int


class BaseTransport:
    """Facts about a target that every transport states.

    Attributes:
        where: names the target in messages.
        schema: the model's, where the transport can read it.
        remote: whether calls leave the process. Shapes are then kept to few
            buckets, since a server that batches joins equal shapes only.
        keeps_deadlines: whether a call ends in time by itself.
    """

    where: str = ""
    schema: Schema | None = None
    remote: bool = True
    keeps_deadlines: bool = False

    def carries(self, description: ModelDescription) -> bool:
        """Returns whether user states of this version can travel."""
        del description
        return True


class Transport(BaseTransport, abc.ABC):
    """One target, one model; for any number of threads."""

    @abc.abstractmethod
    def call(self, call: Call, timeout: float) -> Answer:
        """Runs a signature.

        Args:
            call: signature and inputs.
            timeout: seconds, repeated attempts included.

        Raises:
            UnavailableError: if no attempt reached a server.
            ClientError: for everything else.
        """

    @abc.abstractmethod
    def describe(self, timeout: float) -> ModelDescription:
        """Returns the version that answers now, and its signatures."""

    def close(self) -> None:
        """Gives connections back; calls fail from then on."""


class AsyncTransport(BaseTransport, abc.ABC):
    """The same for asyncio; see `Transport`."""

    @abc.abstractmethod
    async def call(self, call: Call, timeout: float) -> Answer:
        """Runs a signature; see `Transport.call`."""

    @abc.abstractmethod
    async def describe(self, timeout: float) -> ModelDescription:
        """Returns the version that answers now, and its signatures."""

    async def close(self) -> None:
        """Gives connections back; calls fail from then on."""


class ThreadedTransport(AsyncTransport):
    """Runs a transport of threads without holding the event loop up.

    Args:
        transport: over REST or in process; belongs to this one, which closes
            it.
        num_threads: calls under way at once; more wait.
    """

    def __init__(self, transport: Transport, num_threads: int = 8):
        self.where = transport.where
        self.schema = transport.schema
        self.remote = transport.remote
        self.carries = transport.carries  # type: ignore[method-assign]
        self._transport = transport
        self._threads = ThreadPoolExecutor(num_threads, "jd_tf-call")

    async def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`."""
        return await self._run(self._transport.call, call, timeout)

    async def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        return await self._run(self._transport.describe, timeout)

    async def close(self) -> None:
        """See `Transport`."""
        self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(function, *arguments)
        )


class SavedModelTransport(Transport):
    """A version folder, loaded once in this process; its version stays.

    Args:
        path: a version folder, or a model's folder, whose highest version is
            then taken.

    Attributes:
        folder: of the version.
        model: calls its signatures; None after `close`.

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
        self.model: LoadedModel | None = LoadedModel(folder)
        numbered = folder.name.isascii() and folder.name.isdigit()
        self._description = ModelDescription(
            int(folder.name) if numbered else 0,
            self.model.signatures,
        )

    def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`; it cannot be cut short."""
        del timeout
        try:
            outputs = self._open().call(call.signature, call.inputs)
        except ExportError as error:
            raise ServerError(str(error)) from error
        return Answer(outputs, self._description.version)

    def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        del timeout
        self._open()
        return self._description

    def close(self) -> None:
        """Lets go of the model."""
        self.model = None

    def _open(self) -> Any:
        # Read once: another thread may close.
        model = self.model
        if model is None:
            raise ClosedError(f"{self.where}: closed. Open a new client.")
        return model
