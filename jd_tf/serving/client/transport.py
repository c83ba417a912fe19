"""Calls to a served model, its description, and the ways calls take."""

import abc
import asyncio
import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, Schema
from jd_tf.serving.client import errors
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import SCHEMA_FILE, resolve
from jd_tf.serving.signature_names import (
    ENCODE_AND_RANK,
    ENCODE_USER,
    EXPLAIN,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
    SIGNATURES,
    STATE_PREFIX,
)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """A version and its signatures, as `signature_table` lists them."""

    version: int
    signatures: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]

    @property
    def encodes(self) -> bool:
        """True if users can be encoded apart from ranking."""
        return {*SIGNATURES} - {EXPLAIN} <= set(self.signatures)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The tensors of a user state, as `rank_candidates` takes them."""
        inputs = self.signatures[RANK_CANDIDATES]["inputs"]
        return tuple(n for n in inputs if n.startswith(STATE_PREFIX))

    def check_schema(self, schema: Schema, where: str) -> None:
        """Refuses a version that takes other columns than the schema has."""
        where = f"{where}: version {self.version}"
        default = self.signatures.get(SERVING_DEFAULT)
        if default is None:
            raise errors.SchemaMismatchError(
                f"{where}: has no signature `{SERVING_DEFAULT}`, only "
                f"{sorted(self.signatures)}. Export it with jd_tf."
            )
        expected = {
            column.name: {"dtype": column.dtype, "shape": list(column.shape)}
            for column in schema.columns(*SERVING_ROLES)
        }
        apart = (ENCODE_USER, RANK_CANDIDATES, ENCODE_AND_RANK)
        for signature in (SERVING_DEFAULT, *(apart if self.encodes else ())):
            # What the model does not read is not taken.
            taken = self.signatures[signature]["inputs"]
            for name in sorted(taken):
                found, known = dict(taken[name]), expected.get(name, "unknown")
                if found != known and not name.startswith(STATE_PREFIX):
                    raise errors.SchemaMismatchError(
                        f"{where}: signature `{signature}`: column `{name}` is "
                        f"{found} there, {known} in the client's schema "
                        f"`{schema.name}`. Give the client the schema of this "
                        "version (its assets.extra/schema.json)."
                    )
        missing = set(RANKED) - set(default["outputs"])
        if missing:
            raise errors.SchemaMismatchError(
                f"{where}: signature `{SERVING_DEFAULT}` gives no "
                f"{' and no '.join(sorted(missing))}: this is no ranker."
            )


@dataclasses.dataclass(frozen=True)
class Call:
    """A signature, and its inputs by name; the outcome is an `Answer`."""

    signature: str
    inputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Describe:
    """A request for a `ModelDescription` of the version that answers now."""


Operation = Call | Describe


@dataclasses.dataclass(frozen=True)
class Answer:
    """Outputs by name, and the version that answered."""

    outputs: Mapping[str, np.ndarray]
    version: int


class BaseTransport(abc.ABC):
    """One model of the target that `where` names in messages.

    `schema` is the model's, where the transport can read it. Shapes of calls
    to a `remote` one are limited to few buckets, since a server that batches
    joins equal shapes only.
    """

    where: str = ""
    schema: Schema | None = None
    remote: bool = True
    # A call ends in time by itself.
    keeps_deadlines: bool = False

    @abc.abstractmethod
    def call(self, operation: Operation, timeout: float) -> Any:
        """Returns the outcome of an operation, within a timeout in seconds."""

    @abc.abstractmethod
    def close(self) -> Any:
        """Gives connections back; calls fail from then on."""


class Transport(BaseTransport):
    """Blocks in `call` and `close`, for any number of threads."""


class AsyncTransport(BaseTransport):
    """The same for asyncio: `call` and `close` are coroutines."""


class ThreadedTransport(AsyncTransport):
    """Runs a transport of threads without holding the event loop up.

    Args:
        transport: over REST or in process; belongs to this one, which closes
            it.
        num_threads: calls under way at once; more wait.

    Example:
        >>> from jd_tf.serving.client import ModelChoice, RestTransport
        >>> choice = ModelChoice("jd_ranker")
        >>> rest = RestTransport("http://localhost:8501", choice)
        >>> ThreadedTransport(rest, num_threads=4).remote
        True
    """

    def __init__(self, transport: Transport, num_threads: int = 8):
        self.where = transport.where
        self.schema = transport.schema
        self.remote = transport.remote
        self._transport = transport
        self._threads = ThreadPoolExecutor(num_threads, "jd_tf-call")

    async def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._transport.call, operation, timeout
        )

    async def close(self) -> None:
        """See `Transport`."""
        self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class SavedModelTransport(Transport):
    """A version folder, loaded once in this process; its version stays.

    The first call of a signature takes seconds: a recorded one is made of each
    that ranks, before any is waited for.

    Args:
        path: a version folder, or a model's folder, whose highest version is
            then taken.

    Attributes:
        folder: of the version.
        model: calls its signatures; None after `close`.

    Raises:
        ExportError: if there is no whole SavedModel.

    Example:
        >>> SavedModelTransport.remote
        False
    """

    remote = False

    def __init__(self, path: str | Path):
        # TensorFlow, which only this transport needs, takes seconds to load.
        from jd_tf.serving.export.loading import LoadedModel
        from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings

        self.folder = resolve(path)
        self.where = str(self.folder)
        self.schema = Schema.load(self.folder / SCHEMA_FILE)
        self.model: LoadedModel | None = LoadedModel(self.folder)
        name = self.folder.name
        version = int(name) if name.isascii() and name.isdigit() else 0
        self._description = ModelDescription(version, self.model.signatures)
        cold = {*SIGNATURES} - {EXPLAIN}
        for call in read_recordings(self.folder / WARMUP_FILE):
            if call.signature in cold:
                cold.remove(call.signature)
                self.model.call(call.signature, call.inputs)
            if not cold:
                break

    def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`; it cannot be cut short."""
        del timeout
        # Read once: another thread may close.
        model = self.model
        if model is None:
            raise errors.ClosedError(
                f"{self.where}: closed. Open a new client."
            )
        if isinstance(operation, Describe):
            return self._description
        try:
            outputs = model.call(operation.signature, operation.inputs)
        except ExportError as error:
            raise errors.ServerError(str(error)) from error
        return Answer(outputs, self._description.version)

    def close(self) -> None:
        """Lets go of the model."""
        self.model = None
