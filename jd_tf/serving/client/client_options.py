"""What can be set about a client."""

import dataclasses

from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.retry_policy import RetryPolicy


@dataclasses.dataclass(frozen=True)
class ClientOptions:
    """Settings of a client; the defaults serve.

    Attributes:
        timeout: seconds for a whole `rank`, retries and all.
        retries: how unavailable servers are dealt with.
        slice_size: candidates a call; the schema's maximum by default. More
            candidates are ranked in parallel slices.
        buckets: widths that slices are padded to, ascending to `slice_size`,
            so that a server that batches meets few shapes; () for none. By
            default they double for a server, and there are none in process.
        parallel: calls under way at once.
        one_call: whether a user met for the first time, with one slice of
            candidates, is ranked by `serving_default`, in one call. A user
            who comes back is encoded and kept.
        max_users: encoded users kept at most; 0 keeps none.
        max_state_bytes: memory for them at most.
        state_seconds: how long an encoded user is good for.
        key_ignores: user columns that may differ while an encoded user is
            used again: ages grow between two pages of one list, and a state
            some seconds old may do.
        max_version_switches: how often a call is begun again because the
            model's version changed under it.
        max_string_bytes: longer strings are refused.
    """

    timeout: float = 5.0
    retries: RetryPolicy = dataclasses.field(default_factory=RetryPolicy)
    slice_size: int | None = None
    buckets: tuple[int, ...] | None = None
    parallel: int = 8
    one_call: bool = True
    max_users: int = 10_000
    max_state_bytes: int = 2**30
    state_seconds: float = 300.0
    key_ignores: tuple[str, ...] = ()
    max_version_switches: int = 3
    max_string_bytes: int = 65_536

    def __post_init__(self) -> None:
        check_timeout(self.timeout)
        for name in ("parallel", "max_string_bytes"):
            if getattr(self, name) < 1:
                raise RequestError(
                    f"`{name}` must be at least 1. Got: {getattr(self, name)}."
                )
        if self.max_version_switches < 0:
            raise RequestError(
                "`max_version_switches` must not be negative. Got: "
                f"{self.max_version_switches}."
            )


def check_timeout(seconds: float) -> float:
    """Returns it.

    Raises:
        RequestError: unless it is a number of seconds from now.
    """
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds < float("inf"):
        raise RequestError(
            f"a timeout is a positive number of seconds. Got: {seconds!r}."
        )
    return float(seconds)
