"""The feedback log of KuaiRand, line by line."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import NO_LIMIT, TextTable, whole_numbers
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
_LIMITS = {
    "user_id": (1, NO_LIMIT),
    "video_id": (1, NO_LIMIT),
    "time_ms": (0, NO_LIMIT),
    "play_time_ms": (0, NO_LIMIT),
    "duration_ms": (0, NO_LIMIT),
    "comment_stay_time": (0, NO_LIMIT),
    **dict.fromkeys(FEEDBACK, (0, 1)),
    TAB: (0, NO_LIMIT),
}
# Of 2001 to 2096: seconds or days in the column would fall outside.
_TIMES = range(10**12, 4 * 10**12)


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


def open_log(path: Path) -> TextTable:
    """Opens a file of impressions; with `TAB` where it names the scenario."""
    columns = [column for column in _LIMITS if column != TAB]
    remedy = "Name the folder of a KuaiRand log."
    return TextTable(path, columns, optional=(TAB,), remedy=remedy)


def read_impressions(
    table: TextTable, report: LogReport
) -> Iterator[Impression]:
    """Reads a file once, front to back, in the order of time."""
    return table.records(report, _parse, sorted_by="time_ms")


def _parse(values: list[str]) -> Impression:
    numbers = whole_numbers(_LIMITS, values)
    user, item, time, play, duration, stay, *rest = numbers
    if time not in _TIMES:
        raise DataError(
            f"column `time_ms` must be milliseconds since 1970. Got: {time}"
        )
    feedback, tab = tuple(rest[: len(FEEDBACK)]), rest[len(FEEDBACK) :]
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
