"""Which items several sets of vectors have in common."""

from collections.abc import Mapping

import numpy as np

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.pages import number
from jd_tf.evaluation.similarity.catalogue import Likeness
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.schema import DataError


def common_items(
    spaces: Mapping[str, ItemVectors], likeness: Likeness
) -> tuple[Likeness, dict[str, np.ndarray]]:
    """Items of the catalogue that every space has, and their rows in each.

    Args:
        spaces: name -> vectors.
        likeness: the catalogue.

    Raises:
        DataError: if fewer than two items are in all of them.
    """
    if not spaces:
        raise ValueError("there are no vectors to compare.")
    ids = likeness.item_ids
    inside = np.ones(len(ids), bool)
    for name, vectors in spaces.items():
        _check_kind(ids, vectors.item_ids, name)
        inside &= np.isin(ids, vectors.item_ids)
    places = np.flatnonzero(inside)
    if len(places) < 2:
        counts = ", ".join(f"{n} {len(v)}" for n, v in spaces.items())
        raise DataError(
            f"{len(places)} items are in the catalogue ({len(ids)}) and in "
            f"all vectors ({counts}): nothing to compare. Were the vectors "
            "made from this catalogue?"
        )
    rows = {}
    for name, vectors in spaces.items():
        order = np.argsort(vectors.item_ids)
        found = np.searchsorted(vectors.item_ids[order], ids[places])
        rows[name] = order[found]
    return likeness.take(places), rows


def _check_kind(ids: np.ndarray, others: np.ndarray, name: str) -> None:
    if ids.dtype.kind != others.dtype.kind:
        raise DataError(
            f"{name}: item ids are {others.dtype}, those of the catalogue "
            f"{ids.dtype}. Make both from one catalogue."
        )


def known_gates(gates: GateUse, likeness: Likeness) -> tuple[GateUse, Likeness]:
    """Gates and catalogue, narrowed to the items both have."""
    _check_kind(likeness.item_ids, gates.item_ids, "gates")
    ids, here, there = np.intersect1d(
        gates.item_ids, likeness.item_ids, return_indices=True
    )
    if not len(ids):
        raise DataError("gates: no item of theirs is in the catalogue.")
    return gates.take(here), likeness.take(there)


def left_out(
    spaces: Mapping[str, ItemVectors], likeness: Likeness, size: int
) -> str:
    """How many items are not compared, of the catalogue and every file."""
    counts = {"catalogue": likeness, **spaces}
    return ", ".join(
        f"{number(len(items) - size)} of {name}"
        for name, items in counts.items()
    )
