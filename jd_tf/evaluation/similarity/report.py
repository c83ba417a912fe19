"""The page that tells how well likeness shows in an embedding."""

import base64
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.metrics_file import nan_to_none, write_metrics
from jd_tf.evaluation.pages import write_page
from jd_tf.evaluation.similarity.catalogue import ItemStyles
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.evaluation.similarity.neighbours import (
    measure_space,
    nearest,
    summarize,
)
from jd_tf.images.decoding import load_image
from jd_tf.schema import DataError

PAGE_FILE, METRICS_FILE = "similarity.html", "similarity.json"
_THUMBNAIL = 72


def write_similarity_report(
    output_dir: str | Path,
    spaces: Mapping[str, ItemVectors],
    items: ItemStyles,
    gates: GateUse | None = None,
    num_neighbours: int = 10,
    max_queries: int = 5000,
    num_shown: int = 12,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares spaces on the items they all have; writes page and numbers.

    The first of `spaces` (name -> vectors, e.g. before and after fine-tuning)
    is what others are compared with; `max_queries` items are drawn, of which
    `num_shown` appear with their neighbours. Returns the content of
    `similarity.json`: space -> measure -> numbers.
    """
    items, vectors = _common(spaces, items)
    size, rng = len(items.item_ids), np.random.default_rng(seed)
    queries = rng.permutation(size)[:max_queries]
    found = {
        name: measure_space(rows, items, queries, num_neighbours)
        for name, rows in vectors.items()
    }
    first = next(iter(found.values()))
    metrics: dict[str, Any] = {
        name: {
            "width": vectors[name].shape[1],
            "neighbours": {
                measure: summarize(values, first[measure])
                for measure, values in measures.items()
            },
        }
        for name, measures in found.items()
    }
    if gates is not None:
        places = pd.Index(items.item_ids).get_indexer(gates.item_ids)
        known = places >= 0
        if not known.any():
            raise DataError("gates: no item of theirs is in the catalogue.")
        mine = dataclasses.replace(
            gates, item_ids=gates.item_ids[known], gates=gates.gates[known]
        )
        metrics["gates"] = mine.summary(items.categories[places[known]])
    metrics = nan_to_none(metrics)
    write_metrics(Path(output_dir) / METRICS_FILE, metrics)
    examples = _examples(vectors, items, queries, num_neighbours)
    write_page(
        Path(output_dir) / PAGE_FILE,
        "similarity.html",
        title="Does likeness show in the embedding?",
        num_items=size,
        num_queries=len(queries),
        num_neighbours=num_neighbours,
        spaces={name: metrics[name] for name in spaces},
        measures=list(first),
        gates=metrics.get("gates"),
        examples=list(itertools.islice(examples, num_shown)),
    )
    return metrics


def _common(
    spaces: Mapping[str, ItemVectors], items: ItemStyles
) -> tuple[ItemStyles, dict[str, np.ndarray]]:
    """Returns the items that every space has, and their vectors in each."""
    rows = {}
    for name, space in spaces.items():
        if items.item_ids.dtype.kind != space.item_ids.dtype.kind:
            raise DataError(
                f"{name}: item ids are {space.item_ids.dtype}, those of the "
                f"catalogue {items.item_ids.dtype}. Make both from one "
                "catalogue."
            )
        rows[name] = pd.Index(space.item_ids).get_indexer(items.item_ids)
    places = np.flatnonzero(np.min(list(rows.values()), axis=0) >= 0)
    if len(places) < 2:
        counts = ", ".join(f"{n} {len(v)}" for n, v in spaces.items())
        raise DataError(
            f"{len(places)} items are in the catalogue "
            f"({len(items.item_ids)}) and in all vectors ({counts}): nothing "
            "to compare. Were the vectors made from this catalogue?"
        )
    return items.take(places), {
        name: spaces[name].vectors[row[places]] for name, row in rows.items()
    }


def _examples(
    vectors: Mapping[str, np.ndarray],
    items: ItemStyles,
    queries: np.ndarray,
    num_neighbours: int,
) -> Iterator[dict[str, Any]]:
    """Yields queries with a photo and neighbours, one a category in turn."""
    asked = pd.Series(items.categories[queries])
    turn = asked.groupby(asked).cumcount()
    for query in queries[np.argsort(turn, kind="stable")]:
        shown = _item(items, query, query)
        if not shown["photo"]:
            continue
        near = {
            name: nearest(rows, np.array([query]), num_neighbours)[0]
            for name, rows in vectors.items()
        }
        rows = {
            name: [_item(items, place, query) for place in places if place >= 0]
            for name, places in near.items()
        }
        yield {"query": shown, "rows": rows}


def _item(items: ItemStyles, place: int, query: int) -> dict[str, Any]:
    category = str(items.categories[place])
    return {
        "id": str(items.item_ids[place]),
        "category": category,
        "same": category == str(items.categories[query]),
        "photo": _thumbnail(items.paths[place]),
    }


def _thumbnail(path: str) -> str:
    """Returns a photo as the `src` of an image, "" where there is none."""
    try:
        contents = tf.constant(Path(path).read_bytes())
        pixels = tf.round(load_image(contents, _THUMBNAIL))
    except (OSError, tf.errors.OpError):
        return ""
    jpeg = tf.io.encode_jpeg(tf.cast(pixels, tf.uint8), quality=80).numpy()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
