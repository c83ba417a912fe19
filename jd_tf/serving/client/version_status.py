"""What a model server says about one version."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of a version.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why it failed; empty where it did not.
    """

    version: int
    state: str
    error: str = ""

    @property
    def available(self) -> bool:
        """Whether it answers."""
        return self.state == "AVAILABLE"

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; the server does not try again."""
        return self.state == "END" and bool(self.error)
