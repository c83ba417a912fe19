"""Says whether a call is tried again, and after how long."""

import random
import threading

from jd_tf.serving.client.errors import UnavailableError
from jd_tf.serving.client.retry_policy import RetryPolicy


class Retries:
    """The budget of one client, shared by its threads.

    Args:
        policy: how often and how soon.
        generator: of the jitter.
    """

    def __init__(
        self, policy: RetryPolicy, generator: random.Random | None = None
    ):
        self.policy = policy
        self.count = 0
        self._left = policy.budget
        self._generator = generator or random.Random()
        self._lock = threading.Lock()

    def answered(self) -> None:
        """A call was answered: part of a retry comes back."""
        with self._lock:
            self._left = min(
                self._left + self.policy.refill, self.policy.budget
            )

    def wait(
        self, attempt: int, seconds_left: float, error: UnavailableError
    ) -> float:
        """Seconds to wait before the next attempt.

        Args:
            attempt: how many were made.
            seconds_left: of the whole call.
            error: what the last one ended with.

        Raises:
            UnavailableError: if there is to be no next one, with the reason.
        """
        policy = self.policy
        wait = policy.initial_seconds * 2 ** (attempt - 1)
        wait = min(wait, policy.max_seconds)
        with self._lock:
            wait *= 1 - policy.jitter * self._generator.random()
            if attempt >= policy.max_attempts:
                reason = f"Gave up after {attempt} attempts"
            elif wait >= seconds_left:
                reason = f"No time for attempt {attempt + 1}"
            elif self._left < 1:
                reason = "The budget for retries is used up"
            else:
                self._left -= 1
                self.count += 1
                return wait
        raise UnavailableError(f"{error} {reason}.") from error
