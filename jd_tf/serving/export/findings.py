"""What is wrong with a folder, gathered instead of raised at once."""

import contextlib
from collections.abc import Iterable, Iterator

from jd_tf.schema import DataError
from jd_tf.serving.errors import ExportError


class Findings:
    """A list of complaints, one line each, none of them twice.

    Attributes:
        messages: in the order of finding.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.messages)

    def add(self, *messages: str) -> None:
        """Adds complaints as one line each."""
        self.extend(messages)

    def extend(self, messages: Iterable[str]) -> None:
        """Adds complaints as one line each."""
        for message in messages:
            line = " ".join(message.split())
            if line not in self.messages:
                self.messages.append(line)

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Makes a complaint of a `DataError` that is raised within."""
        try:
            yield
        except DataError as error:
            self.add(str(error))

    def check(self) -> None:
        """Raises an `ExportError` of all complaints, if there are any."""
        if self.messages:
            raise ExportError("; ".join(self.messages))
