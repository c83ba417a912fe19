"""Columns of times become whole milliseconds since 1970."""

import datetime
from typing import Any

import ibis
import numpy as np
import pandas as pd

from jd_tf.data.tables.config import HOUR, WEEKDAY
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.schema import DataError

# Numbers are times in a unit up to such a size: seconds until the year 5138,
# milliseconds and microseconds since 1973.
_LIMITS = {"s": 10**11, "ms": 10**14, "us": float("inf")}
_PER_MILLISECOND = {"s": 1000.0, "ms": 1.0, "us": 0.001}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
DAY = 86_400_000
_ENDLESS = 9e18  # No int64 is beyond
_NUMBER = r"^-?[0-9]+(\.[0-9]*)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?"
_ZONED = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_FRACTION = r"\.[0-9]+"


class TimeColumn:
    """A column of times as an expression in milliseconds.

    Numbers are in one unit, the one that most of them look like; texts are ISO
    times, with a zone or in that of the configuration; a date stands for its
    first millisecond, or for its last where what is dated must not be known
    too early.

    Args:
        engine: finds the unit.
        table: the table.
        name: of the column.
        zone: of times without one.
        unit: of numbers, "" to find it.
        date_end: whether a date stands for its last millisecond.

    Attributes:
        milliseconds: the expression, null where there is no time.
        mixed: an expression: whether a number is in another unit.
        unit: of the numbers, "" where there are none.
    """

    def __init__(
        self,
        engine: Engine,
        table: ibis.Table,
        name: str,
        zone: str,
        unit: str,
        date_end: bool,
    ):
        column = table[name]
        kind = column.type()
        self.mixed: Any = ibis.literal(False)
        self.unit = unit
        if kind.is_numeric():
            number = column.cast("float64")
            self.milliseconds = self._of_number(engine, table, number)
            return
        if kind.is_timestamp() and kind.timezone:
            zone = "UTC"  # As which the engine prints it
        elif not (kind.is_string() or kind.is_timestamp() or kind.is_date()):
            raise DataError(
                f"column `{name}`: is {kind}, not a time. Times are numbers, "
                "ISO texts, dates or timestamps."
            )
        text = column.cast("string")
        if kind.is_timestamp():
            text = text.re_replace(_ZONED, "")
        self.milliseconds = _of_text(text, zone, date_end)
        if kind.is_string():
            number = text.re_search(_NUMBER).ifelse(text, None)
            self.milliseconds = self.milliseconds.fill_null(
                self._of_number(engine, table, number.try_cast("float64"))
            )

    def _of_number(
        self, engine: Engine, table: ibis.Table, number: Any
    ) -> ibis.Value:
        size = number.abs()
        unit = ibis.cases(
            *((size < limit, name) for name, limit in _LIMITS.items()),
            else_=None,
        )
        if not self.unit:
            counts = engine.rows(
                table.select(unit=unit)
                .filter(ibis._.unit.notnull())
                .group_by("unit")
                .agg(rows=ibis._.count())
            )
            if counts:
                most = max(counts, key=lambda row: (row["rows"], row["unit"]))
                self.unit = most["unit"]
            # A unit that is named is believed, whatever the range.
            self.mixed = (unit != (self.unit or "s")).fill_null(False)
        factor = _PER_MILLISECOND[self.unit or "s"]
        time = number * factor + 0.5
        time = (time.abs() < _ENDLESS).ifelse(time, None)
        return time.floor().cast("int64")


def _of_text(text: Any, zone: str, date_end: bool) -> Any:
    """Returns the milliseconds of ISO texts, null of others."""
    date = text.re_search(_DATE)
    time = date.ifelse(text + ibis.literal(" 00:00:00"), text)
    met = time.re_search(_TIME)
    fraction = time.re_extract(r"\.([0-9]+)", 1)
    parts = (fraction + ibis.literal("000")).substr(0, 3).try_cast("int64")
    whole = time.re_replace(_FRACTION, "").replace("T", " ")
    zoned = whole.re_search(_ZONED.replace("(Z|", "([0-9]Z|[0-9]{2}:[0-9]{2}"))
    whole = zoned.ifelse(whole, whole + ibis.literal(f" {zone}"))
    instant = met.ifelse(whole, None).try_cast("timestamp('UTC')")
    found = instant.epoch_seconds().cast("int64") * 1000 + parts.fill_null(0)
    return found + date.ifelse(DAY - 1 if date_end else 0, 0)


def moment(text: str, zone: str, key: str) -> int:
    """Returns an ISO date or time of the configuration in milliseconds."""
    import zoneinfo

    try:
        parsed = datetime.datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise DataError(
            f"`{key}`: must be an ISO date or time, in a zone that is known. "
            f"Got: {text!r}, {zone!r}."
        ) from error
    return round(parsed.timestamp() * 1000)


def clock_columns(times: np.ndarray, zone: str) -> dict[str, np.ndarray]:
    """Returns the hour and weekday of times in milliseconds; 0 pads."""
    clock = pd.to_datetime(times, unit="ms", utc=True).tz_convert(zone)
    derived = {HOUR: clock.hour, WEEKDAY: clock.day_of_week}
    return {name: one.to_numpy() + 1 for name, one in derived.items()}
