"""Users' timelines and their fixed negatives, as text and NumPy files."""

import dataclasses
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jd_tf.data.log_report import LogReport
from jd_tf.data.sources.text_files import NO_LIMIT, read_lines, whole_numbers
from jd_tf.schema import DataError

# Targets of validation and test, and an event before them.
MIN_EVENTS = 3
# Afterwards popular items are not drawn any more: there may be too few.
_POPULAR_ROUNDS = 50
_KEY = "negatives"
_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError),
    zipfile.BadZipFile,
)
_LARGEST_ID = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True)
class Timeline:
    """All events of a user.

    Attributes:
        user_id: as it stands in the file.
        number: of the line, from 0.
        items: (E,) int64, oldest first.
        negatives: (K,) int64, items never touched; None if none are given.
    """

    user_id: str
    number: int
    items: np.ndarray
    negatives: np.ndarray | None


def timeline_names(
    folder: Path, wanted: Sequence[str] | None = None
) -> list[str]:
    """Returns names of the data sets of a folder, all by default.

    Raises:
        DataError: one that is wanted is not there, or there is none.
    """
    found = sorted(
        path.stem
        for path in folder.glob("*.txt")
        if not path.name.startswith((".", "README"))
    )
    names = list(wanted or found)
    unknown = [name for name in names if name not in found]
    if unknown or not names:
        missing = f"{unknown[0]}.txt" if unknown else "*.txt"
        raise DataError(
            f"{folder}: no {missing}. Data sets there: {', '.join(found)}."
        )
    return names


def read_timelines(
    path: Path, negatives_path: Path, report: LogReport
) -> Iterator[Timeline]:
    """Yields the users of a file that have enough events.

    Args:
        path: a user a line: user id, then item ids, separated by blanks.
        negatives_path: NumPy archive with a row of item ids for each line;
            need not exist.
        report: counts what is bad and what is left out.
    """
    negatives = None
    if negatives_path.exists() and path.stat().st_size:
        negatives = _read_negatives(negatives_path, path)
    users: set[str] = set()
    for line, _, text in read_lines(path, report, growing=False):
        try:
            timeline = _timeline(text, line - 1, negatives, negatives_path)
            if timeline.user_id in users:
                raise DataError(f"user {timeline.user_id!r} has another line")
        except DataError as error:
            report.tolerate(f"{path}: line {line}: {error}")
            continue
        users.add(timeline.user_id)
        report.counts["users"] += 1
        report.counts["events"] += len(timeline.items)
        if len(timeline.items) < MIN_EVENTS:
            report.counts[f"left out: users of under {MIN_EVENTS} events"] += 1
            continue
        yield timeline


def draw_untouched(
    generator: np.random.Generator,
    touched: np.ndarray,
    shape: tuple[int, int],
    items: np.ndarray,
    events: np.ndarray,
    popular_share: float,
) -> np.ndarray:
    """Draws rows of distinct items that a user never touches.

    Args:
        generator: of the draws.
        touched: item ids never drawn.
        shape: of the result.
        items: ids to draw from uniformly, each once.
        events: ids to draw popular items from, one an event.
        popular_share: probability of drawing from the events.
    """
    untouched = len(items) - len(np.unique(touched))
    if untouched < shape[1]:
        raise DataError(
            f"the user never touches {untouched} items, too few for "
            f"{shape[1]} negatives"
        )
    drawn, wrong = np.zeros(shape, np.int64), np.ones(shape, bool)
    rounds = 0
    while count := np.count_nonzero(wrong):
        found = generator.choice(items, count)
        if rounds < _POPULAR_ROUNDS and popular_share:
            popular = generator.random(count) < popular_share
            chosen = generator.choice(events, np.count_nonzero(popular))
            found[popular] = chosen
        drawn[wrong] = found
        order = np.argsort(drawn, axis=1, kind="stable")
        ascending = np.take_along_axis(drawn, order, axis=1)
        twice = np.zeros(shape, bool)
        twice[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
        np.put_along_axis(wrong, order, twice, axis=1)
        wrong |= np.isin(drawn, touched)
        rounds += 1
    return drawn


def _timeline(
    text: str, number: int, negatives: np.ndarray | None, negatives_path: Path
) -> Timeline:
    user_id, *texts = text.split() or [""]
    if not texts:
        raise DataError(f"no user with items: {text!r}")
    limits = {f"item {i}": (1, NO_LIMIT) for i in range(1, len(texts) + 1)}
    items = whole_numbers(limits, texts)
    if max(items) > _LARGEST_ID:
        raise DataError(f"item id {max(items)} is above {_LARGEST_ID}")
    mine = None
    if negatives is not None:
        mine = negatives[number]
        touched = np.intersect1d(mine, items)
        if len(touched):
            raise DataError(
                f"{negatives_path}: row {number}: {touched[0]} is no "
                f"negative, user {user_id!r} has touched it"
            )
    return Timeline(user_id, number, np.array(items, np.int64), mine)


def _read_negatives(path: Path, lines_path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file) as archive:
            found = archive[_KEY]
    except _DAMAGE as error:
        raise DataError(
            f"{path}: {error}: not a NumPy archive with an array `{_KEY}`, or "
            "damaged. Copy it again, or take it away to have negatives drawn."
        ) from error
    with lines_path.open("rb") as file:
        num_lines = sum(1 for _ in file)
    if (
        found.ndim != 2
        or found.shape[0] != num_lines
        or not found.size
        or found.dtype.kind not in "iu"
        or found.min() < 1
    ):
        least = found.min() if found.size else None
        raise DataError(
            f"{path}: `{_KEY}` must hold a row of item ids from 1 on for each "
            f"of the {num_lines} lines of {lines_path}. Got: {found.dtype} of "
            f"shape {found.shape}, the least is {least}. One of the two is "
            "truncated or of another data set."
        )
    return found.astype(np.int64)
