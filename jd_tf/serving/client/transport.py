"""How calls reach a served model."""

import abc

from jd_tf.schema import Schema
from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.model_description import ModelDescription


class Transport(abc.ABC):
    """One target, one model; for any number of threads.

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

    @abc.abstractmethod
    def call(self, call: Call, timeout: float) -> Answer:
        """Runs a signature once; never tries again.

        Args:
            call: signature and inputs.
            timeout: seconds.

        Raises:
            UnavailableError: if it may be tried again.
            ClientError: for everything else.
        """

    @abc.abstractmethod
    def describe(self, timeout: float) -> ModelDescription:
        """The version that answers now, and its signatures."""

    def carries(self, description: ModelDescription) -> bool:
        """Whether user states of this version can travel."""
        del description
        return True

    def close(self) -> None:  # noqa: B027
        """Gives connections back; calls fail from then on."""


class AsyncTransport(abc.ABC):
    """The same for asyncio; see `Transport`."""

    where: str = ""
    schema: Schema | None = None
    remote: bool = True

    @abc.abstractmethod
    async def call(self, call: Call, timeout: float) -> Answer:
        """Runs a signature once; see `Transport.call`."""

    @abc.abstractmethod
    async def describe(self, timeout: float) -> ModelDescription:
        """The version that answers now, and its signatures."""

    def carries(self, description: ModelDescription) -> bool:
        """Whether user states of this version can travel."""
        del description
        return True

    async def close(self) -> None:  # noqa: B027
        """Gives connections back; calls fail from then on."""
