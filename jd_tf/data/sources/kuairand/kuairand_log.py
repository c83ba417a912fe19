"""The feedback log of KuaiRand, line by line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.log_report import LogReport
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
    """One line of the log: a video shown to a user, and what came of it.

    Attributes:
        time: seconds since 1970 at which it was shown.
        user: user id.
        item: video id.
        feedback: 0 or 1 for each of `FEEDBACK`.
        play: seconds it was played.
        comment_stay: seconds its comments were open.
        duration: seconds it lasts, 0 where unknown.
        tab: number of the scenario, from 0; -1 where the log has none.
    """

    time: float
    user: int
    item: int
    feedback: tuple[int, ...]
    play: float
    comment_stay: float
    duration: float
    tab: int

    @property
    def end(self) -> float:
        """When all that came of it was known."""
        return self.time + self.play + self.comment_stay


class LogFile:
    """A file of impressions in the order of time, gzipped or not.

    Args:
        path: of a table with a header, separated by tabs or commas.

    Attributes:
        has_tab: whether it names the scenario.

    Raises:
        DataError: if it cannot be read, or a column is missing.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with self._open() as file:
                first = file.readline().decode("utf-8-sig")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: line 1: {error}: the file is damaged or no table."
            ) from error
        if not first:
            raise DataError(f"{path}: the file is empty. Copy it again.")
        self._separator = "\t" if "\t" in first else ","
        header = first.rstrip("\r\n").split(self._separator)
        missing = [n for n in (*_NUMBERS, *FEEDBACK) if n not in header]
        if missing:
            raise DataError(
                f"{path}: line 1: no column `{missing[0]}`; there are "
                f"{', '.join(header[:9]) or 'none'}. Name the folder of a "
                "KuaiRand log."
            )
        self.has_tab = TAB in header
        tabs = (TAB,) if self.has_tab else ()
        self._names = (*_NUMBERS, *FEEDBACK, *tabs)
        self._wanted = [header.index(name) for name in self._names]
        self._num_columns = len(header)

    def impressions(self, report: LogReport) -> Iterator[Impression]:
        """Reads the file once, front to back.

        Args:
            report: tolerates bad records or not.

        Raises:
            DataError: naming line and column, also where time goes back.
        """
        now = 0.0
        for number, text in self._lines(report):
            where = f"{self.path}: line {number}"
            try:
                impression = self._parse(text)
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

    def _open(self) -> gzip.GzipFile:
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return gzip.open(self.path, "rb") if packed else self.path.open("rb")

    def _lines(self, report: LogReport) -> Iterator[tuple[int, str]]:
        """Numbers and texts of the lines behind the header."""
        number = 1
        with self._open() as file:
            file.readline()
            while True:
                number += 1
                where = f"{self.path}: line {number}"
                try:
                    raw = file.readline()
                    if not raw:
                        return
                    if not raw.endswith(b"\n"):
                        raise EOFError("the file ends inside this line")
                    text = raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    report.tolerate(DataError(f"{where}: is not UTF-8"))
                except (OSError, EOFError, zlib.error) as error:
                    # Nothing behind it can be found.
                    report.tolerate(
                        DataError(
                            f"{where}: {error}: the file is truncated or "
                            "damaged"
                        )
                    )
                    return
                else:
                    yield number, text

    def _parse(self, text: str) -> Impression:
        values = text.split(self._separator)
        if len(values) != self._num_columns:
            raise DataError(
                f"{len(values)} columns, the header has {self._num_columns}"
            )
        numbers = []
        for name, place in zip(self._names, self._wanted, strict=True):
            value = values[place].removesuffix(".0")
            if not (value.isascii() and value.isdigit()):
                raise DataError(
                    f"column `{name}` must be a whole number, not negative. "
                    f"Got: {values[place]!r}"
                )
            numbers.append(int(value))
        user, item, time, play, duration, stay, *rest = numbers
        feedback, tab = tuple(rest[: len(FEEDBACK)]), rest[len(FEEDBACK) :]
        for name, value in zip(FEEDBACK, feedback, strict=True):
            if value > 1:
                raise DataError(f"column `{name}` must be 0 or 1. Got: {value}")
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
