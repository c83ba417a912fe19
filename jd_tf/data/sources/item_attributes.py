"""Attributes of items, such as categories and brands, from a JSON file."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np

from jd_tf.data.files import read_json
from jd_tf.data.log_report import LogReport
from jd_tf.schema import DataError

_LARGEST_ID = np.iinfo(np.int64).max


def read_attributes(
    path: Path, items: np.ndarray, max_attributes: int, report: LogReport
) -> np.ndarray:
    """Reads the attributes of each item, the rarest first: they say most.

    Args:
        path: item id -> list of attribute ids from 1 on.
        items: (I,) ids of the items asked for.
        max_attributes: most that an item keeps.
        report: counts what is bad and what is left out.

    Returns:
        (I, M) int64, 0 pads; M is at least 2, which makes it a list.
    """
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise DataError(f"{path}: no object of items. Copy the file again.")
    known: dict[str, set[int]] = {}
    for item, attributes in stored.items():
        if not isinstance(attributes, list) or not all(
            type(one) is int and 1 <= one <= _LARGEST_ID for one in attributes
        ):
            report.tolerate(
                f"{path}: item {item!r}: must have a list of whole numbers "
                f"from 1 on. Got: {attributes!r:.80}"
            )
            continue
        known[item] = set(attributes)
    lists = [known.get(str(item), set()) for item in items.tolist()]
    num_items = Counter(itertools.chain(*lists))
    longest = max(map(len, lists))
    kept = np.zeros((len(lists), max(2, min(longest, max_attributes))), int)
    for row, attributes in zip(kept, lists, strict=True):
        rarest = sorted(attributes, key=lambda one: (num_items[one], one))
        rarest = rarest[:max_attributes]
        row[: len(rarest)] = rarest
    cut = sum(len(one) > max_attributes for one in lists)
    total = num_items.total()
    report.notes.append(
        f"Attributes: {lists.count(set())} of {len(lists)} items have none, "
        f"{cut} more than {max_attributes}, of which the rarest are kept: "
        f"{total - np.count_nonzero(kept)} of {total} are left out."
    )
    return kept
