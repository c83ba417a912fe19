"""Settings of a client: model, retries, certificates, caches and limits."""

import dataclasses
from pathlib import Path

from jd_tf.serving.client.errors import RequestError

# gRPC makes no more attempts, and counts no more tokens.
_MOST_ATTEMPTS = 5
_MOST_BUDGET = 499
# After a wait that rounds to 0 ms gRPC never sends the next attempt.
_LEAST_SECONDS = 0.01


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """A model by name and, perhaps, a version or a label.

    Attributes:
        name: of the model.
        version: exactly this one.
        label: the version that carries it. Without version and label it is
            the latest version that is available.

    Example:
        >>> str(ModelChoice("jd_ranker", label="stable"))
        'jd_ranker (label stable)'
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        texts = {"a model's name": self.name, "a label": self.label}
        for what, text in texts.items():
            if text is not None and (not text or set(text) & set("/:")):
                raise RequestError(
                    f"{what} is not empty and has no / or :. Got: {text!r}."
                )
        if self.version is not None and self.label is not None:
            raise RequestError(
                "name a version or a label, not both. Got: "
                f"{self.version} and {self.label!r}."
            )
        if self.version is not None and self.version < 0:
            raise RequestError(
                f"versions are not negative. Got: {self.version}."
            )

    def __str__(self) -> str:
        which = "latest" if self.label is None else f"label {self.label}"
        if self.version is not None:
            which = f"version {self.version}"
        return f"{self.name} ({which})"


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff, and a budget for all calls to a server together.

    Only calls that a server did not begin are repeated: it is unavailable, or
    its threads or queues are full. A call that ran out of time is not: more
    calls do not help a server that is slow.

    Attributes:
        max_attempts: of one call, the first included, 1 to 5; 1 never
            repeats.
        initial_seconds: the first wait, at least 0.01; each next one is twice
            as long, give or take a fifth.
        max_seconds: no wait is longer.
        budget: failed attempts that are repeated while no call succeeds, up
            to 499. When servers are down, clients stop repeating soon, and do
            not bury them when they return.
        refill: share of one attempt that every answered call gives back,
            never beyond the budget.

    Example:
        >>> RetryPolicy(max_attempts=3).budget
        20
    """

    max_attempts: int = 4
    initial_seconds: float = 0.05
    max_seconds: float = 1.0
    budget: int = 20
    refill: float = 0.1

    def __post_init__(self) -> None:
        if not (
            1 <= self.max_attempts <= _MOST_ATTEMPTS
            and _LEAST_SECONDS <= self.initial_seconds <= self.max_seconds
            and 0 <= self.budget <= _MOST_BUDGET
            and 0.001 <= self.refill <= 1
        ):
            raise RequestError(f"no such retry policy: {self}.")


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files of a connection that is encrypted.

    Attributes:
        authority: certificates that the server's must go back to; those of
            the system by default.
        certificate: the client's own chain, where the server requires one
            (mutual TLS); needs `key`.
        key: the private key of `certificate`.
        server_name: the name in the server's certificate, where it is not
            the address.

    Example:
        >>> TlsFiles(authority="ca.pem").certificate is None
        True
    """

    authority: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise RequestError(
                "TLS: a certificate and its key come together. Got: "
                f"certificate={self.certificate}, key={self.key}."
            )

    def read(self) -> dict[str, bytes | None]:
        """Reads the files, named as the credentials of a gRPC channel are."""
        return {
            "root_certificates": _read_pem(self.authority),
            "certificate_chain": _read_pem(self.certificate),
            "private_key": _read_pem(self.key),
        }


@dataclasses.dataclass(frozen=True)
class ClientOptions:
    """Settings of a client; the defaults serve.

    Attributes:
        timeout: seconds for a whole `rank`, retries and all.
        slice_size: candidates a call; the schema's maximum by default. More
            candidates are ranked in parallel slices.
        buckets: widths that slices are padded to, ascending to `slice_size`,
            so that a server that batches meets few shapes; () for none. By
            default they double for a server, and there are none in process.
        parallel: calls under way at once.
        one_call: whether a history met for the first time, with one slice of
            candidates, is ranked by `serving_default`, in one call; only one
            that comes back is encoded, and its state cached. For users of a
            single page: the state is not sent back. Without, the first page is
            one call, too, of `encode_and_rank`, and its state is kept.
        max_users: cached user states at most; 0 caches none.
        max_state_bytes: memory for them at most.
        state_seconds: seconds for which a user state is kept; it is exact
            until the user's next event, if the model is `reusable`.
        state_tolerance: the most seconds between the `request_time` of a state
            and of a ranking with it, where the model is not `reusable`; 0 is
            exact. `model_card.json` has the error of a score after 1 to 3600.
        max_version_switches: how often a call is begun again because the
            model's version changed under it.
        max_string_bytes: longer strings are refused.

    Example:
        >>> ClientOptions(timeout=0.05).parallel
        8
    """

    timeout: float = 5.0
    slice_size: int | None = None
    buckets: tuple[int, ...] | None = None
    parallel: int = 8
    one_call: bool = False
    max_users: int = 10_000
    max_state_bytes: int = 2**30
    state_seconds: float = 3600.0
    state_tolerance: float = 0.0
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
    """Returns the timeout, a positive, finite number of seconds."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds < float("inf"):
        raise RequestError(
            f"a timeout is a positive number of seconds. Got: {seconds!r}."
        )
    return float(seconds)


def _read_pem(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RequestError(f"TLS: {path}: {error.strerror}.") from error
    if b"-----BEGIN" not in content:
        raise RequestError(f"TLS: {path}: is not a PEM file.")
    return content
