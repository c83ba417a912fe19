"""What a person sees while it trains."""

import sys
from types import TracebackType

import tqdm

from jd_tf.training.loop.training_state import TrainingState

# A log file wants a line now and then, not ten a second.
_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """A bar: steps, losses, impressions a second, share of waiting.

    Args:
        shown: whether to show anything.
        initial: steps taken in earlier sessions.
        total: steps there will be; None if unknown.
    """

    def __init__(self, shown: bool, initial: int, total: int | None):
        interactive = sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            desc="training",
            unit="step",
            initial=initial,
            total=total,
            disable=not shown,
            dynamic_ncols=interactive,
            mininterval=0.2 if interactive else _SECONDS_BETWEEN_LINES,
        )

    def update(
        self, state: TrainingState, objective_names: tuple[str, ...]
    ) -> None:
        """Shows the mean of the present window."""
        window = state.window
        if window:
            counted = zip(
                objective_names,
                window["losses"],
                window["counts"],
                strict=True,
            )
            shown = {
                name: f"{loss / count:.4f}"
                for name, loss, count in counted
                if count
            }
            seconds = max(window["seconds"], 1e-9)
            shown["impressions/s"] = f"{window['impressions'] / seconds:,.0f}"
            shown["waiting"] = f"{window['waits'] / seconds:.0%}"
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update(state.step - self._bar.n)

    def say(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        if not self._bar.disable:
            tqdm.tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
