"""How often, and how soon, a call is tried again."""

import dataclasses

from jd_tf.serving.client.errors import RequestError


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter, and a budget for all calls together.

    Only calls that nobody took are tried again. A call that ran out of time
    is not: a server that is slow is not helped by more calls.

    Attributes:
        max_attempts: of one call, the first included; 1 never tries again.
        initial_seconds: the first wait; each next one is twice as long.
        max_seconds: no wait is longer.
        jitter: the share of a wait that is left to chance.
        budget: retries that can be made in a row. When servers are down,
            clients stop trying soon, and do not bury them when they return.
        refill: how much of one retry every answered call gives back.
    """

    max_attempts: int = 4
    initial_seconds: float = 0.05
    max_seconds: float = 1.0
    jitter: float = 0.5
    budget: float = 20.0
    refill: float = 0.1

    def __post_init__(self) -> None:
        wrong = (
            self.max_attempts < 1
            or not 0 < self.initial_seconds <= self.max_seconds
            or not 0 <= self.jitter <= 1
            or self.budget < 0
            or self.refill < 0
        )
        if wrong:
            raise RequestError(f"no such retry policy: {self}.")
