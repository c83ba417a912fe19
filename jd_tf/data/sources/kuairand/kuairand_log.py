"""The feedback log of KuaiRand, line by line."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import TextTable
from jd_tf.schema import DataError

FEEDBACK = (
    "is_click",
    "long_view",
    "is_profile_enter",
    "is_comment",
    "is_forward",
    "is_follow",
)
TAB = "tab"
_NUMBERS = (
    "user_id",
    "video_id",
    "time_ms",
    "play_time_ms",
    "duration_ms",
    "comment_stay_time",
)
# Of 2001 to 2096: seconds or days in the column would fall outside.
_TIMES = (10**12, 4 * 10**12)


class Impression(NamedTuple):
    """One line of the log: a video shown to a user, with the feedback."""

    time: float  # Seconds since 1970 at which it was shown
    user: int  # User id
    item: int  # Video id
    feedback: tuple[int, ...]  # 0 or 1 for each of `FEEDBACK`
    play: float  # Seconds it was played
    comment_stay: float  # Seconds its comments were open
    duration: float  # Seconds it lasts, 0 where unknown
    tab: int  # Number of the scenario, from 0; -1 where the log has none

    @property
    def end(self) -> float:
        """Time at which all its feedback was known."""
        return self.time + self.play + self.comment_stay


class LogFile:
    """A file of impressions in the order of time, gzipped or not.

    Args:
        path: of a table with a header, separated by tabs or commas.

    Attributes:
        has_tab: True where it names the scenario.

    Raises:
        DataError: if it cannot be read, or a column is missing.
    """

    def __init__(self, path: Path):
        columns = (*_NUMBERS, *FEEDBACK)
        remedy = "Name the folder of a KuaiRand log."
        self._table = TextTable(path, columns, remedy=remedy)
        self.has_tab = TAB in self._table.header
        if self.has_tab:
            self._table = TextTable(path, (*columns, TAB))

    def impressions(self, report: LogReport) -> Iterator[Impression]:
        """Reads the file once, front to back.

        Args:
            report: tolerates bad records or not.

        Raises:
            DataError: naming line and column, also where time goes back.
        """
        now = 0.0
        columns = self._table.columns
        for number, values in self._table.rows(report):
            where = f"{self._table.path}: line {number}"
            try:
                impression = _parse(columns, values)
                if impression.time < now:
                    raise DataError(
                        f"column `time_ms`: {round(1000 * impression.time)} is "
                        "before the line above; sort the file by time_ms"
                    )
            except DataError as error:
                report.tolerate(DataError(f"{where}: {error}"))
                continue
            now = impression.time
            yield impression


def _parse(columns: tuple[str, ...], values: list[str]) -> Impression:
    numbers = []
    for name, text in zip(columns, values, strict=True):
        value = text.removesuffix(".0")
        if not (value.isascii() and value.isdigit()):
            raise DataError(
                f"column `{name}` must be a whole number, not negative. "
                f"Got: {text!r}"
            )
        numbers.append(int(value))
    user, item, time, play, duration, stay, *rest = numbers
    feedback, tab = tuple(rest[: len(FEEDBACK)]), rest[len(FEEDBACK) :]
    for name, flag in zip(FEEDBACK, feedback, strict=True):
        if flag > 1:
            raise DataError(f"column `{name}` must be 0 or 1. Got: {flag}")
    if not _TIMES[0] <= time < _TIMES[1]:
        raise DataError(
            f"column `time_ms` must be milliseconds since 1970. Got: {time}"
        )
    # 0 pads ids.
    if not user or not item:
        raise DataError("`user_id` and `video_id` start at 1. Got: 0")
    return Impression(
        time / 1000,
        user,
        item,
        feedback,
        play / 1000,
        stay / 1000,
        duration / 1000,
        tab[0] if tab else -1,
    )
