"""Templates -> self-contained HTML pages."""

from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from jd_tf.data.files import write_whole

UNDEFINED = "\N{EN DASH}"


class Highlight(NamedTuple):
    """One line of what a page shows first, with a kind of `KINDS`."""

    kind: str
    text: str


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fills a template of this package; the file is written whole or not."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jd_tf.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {f.__name__: f for f in _FILTERS}
    page = environment.get_template(template).render(**values)
    write_whole(path, page.encode("utf-8"))
    return Path(path)


def number(value: Any, digits: int = 4) -> str:
    """A number for reading; a dash for what is undefined."""
    if value is None:
        return UNDEFINED
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def bounds(interval: Any, digits: int = 4) -> str:
    """`low to high`, or nothing where there is no interval."""
    if not interval or None in interval:
        return ""
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def below_chance(value: Any, metric: str) -> bool:
    """Tells if a GAUC, as it is shown, is worse than a random order's."""
    return (
        metric.startswith("gauc")
        and value is not None
        and round(value, 4) < 0.5
    )


def percent(value: Any, digits: int = 1) -> str:
    """A share as per cent; a dash for what is undefined."""
    return UNDEFINED if value is None else f"{100 * value:.{digits}f} %"


_FILTERS = (number, bounds, percent, below_chance)
