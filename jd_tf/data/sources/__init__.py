"""One adapter per log format, all with one interface."""

import inspect
from pathlib import Path
from typing import Any

from jd_tf.data.sources.bars.bars import BarsSource
from jd_tf.data.sources.jd_micro import JDMicroSource
from jd_tf.data.sources.jd_ranking import JDRankingSource
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.data.sources.source import Source, check_options
from jd_tf.schema import DataError

_ALL = (
    JDRankingSource,
    JDMicroSource,
    SequencesSource,
    BarsSource,
)
SOURCES: dict[str, type[Source]] = {source.name: source for source in _ALL}


def open_source(name: str, input_dir: str | Path, **options: Any) -> Source:
    """Opens a log.

    Args:
        name: of the format, a key of `SOURCES`.
        input_dir: folder of the log.
        **options: arguments of that source; others are refused.

    Raises:
        DataError: if the name, an option or the folder is wrong.
    """
    if name not in SOURCES:
        raise DataError(
            f"no source `{name}`. There are: {', '.join(sorted(SOURCES))}."
        )
    source = SOURCES[name]
    known = list(inspect.signature(source).parameters)
    check_options(f"source `{name}`", options, known[1:])
    return source(input_dir, **options)
