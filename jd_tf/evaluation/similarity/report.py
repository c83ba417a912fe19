"""The page that says whether likeness shows in an embedding."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.metrics_file import nan_to_none, write_metrics
from jd_tf.evaluation.pages import number, write_page
from jd_tf.evaluation.similarity.catalogue import Likeness
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.evaluation.similarity.items import (
    common_items,
    known_gates,
    left_out,
)
from jd_tf.evaluation.similarity.measures import (
    CATEGORY,
    Space,
    by_category,
    measure_space,
)
from jd_tf.evaluation.similarity.numbers import (
    gate_numbers,
    space_findings,
    space_numbers,
    table_line,
)
from jd_tf.evaluation.similarity.pictures import (
    cosine_picture,
    measure_picture,
    use_picture,
)
from jd_tf.evaluation.similarity.thumbnails import Thumbnails

PAGE_FILE = "similarity.html"
METRICS_FILE = "similarity.json"
_SHOWN_CATEGORIES = 30


def write_similarity_report(
    output_dir: str | Path,
    spaces: Mapping[str, ItemVectors],
    likeness: Likeness,
    gates: GateUse | None = None,
    num_neighbours: int = 10,
    max_queries: int = 5000,
    num_shown: int = 12,
    seed: int = 0,
    title: str = "Does likeness show in the embedding?",
) -> dict[str, Any]:
    """Compares spaces on the items they all have; writes page and numbers.

    Args:
        output_dir: gets `similarity.html` and `similarity.json`.
        spaces: name -> vectors, e.g. before and after fine-tuning; the first
            is what others are compared with.
        likeness: categories, style and photos of the items.
        gates: weights of a transfer layer's gates, if known.
        num_neighbours: K.
        max_queries: items that are asked for at most, drawn at random.
        num_shown: of those, shown with their neighbours.
        seed: of what is drawn.
        title: heading.

    Returns:
        What similarity.json holds: space -> measure -> number.

    Raises:
        DataError: if fewer than two items are in all of them.
    """
    items, rows = common_items(spaces, likeness)
    size = len(items)
    rng = np.random.default_rng(seed)
    queries = np.arange(size)
    if size > max_queries:
        queries = np.sort(rng.choice(size, max_queries, replace=False))
    found = [
        measure_space(
            name,
            spaces[name].vectors[rows[name]],
            items,
            queries,
            num_neighbours,
            seed,
        )
        for name in spaces
    ]
    metrics = space_numbers(found, items)
    gate_items = None
    if gates is not None:
        gates, gate_items = known_gates(gates, likeness)
        metrics["gates"] = gate_numbers(gates, gate_items.categories)
    metrics = nan_to_none(metrics)
    folder = Path(output_dir)
    write_metrics(folder / METRICS_FILE, metrics)
    thumbnail = Thumbnails()
    examples = list(_examples(found, items, num_shown, rng, thumbnail))
    names = list(found[0].measures)
    asked = items.categories[queries]
    write_page(
        folder / PAGE_FILE,
        "similarity.html",
        title=title,
        facts=[
            ("items", number(size)),
            ("left out", left_out(spaces, likeness, size)),
            ("categories", number(len(np.unique(items.categories)))),
            ("style", ", ".join(items.style_names) or "none given"),
            ("queries", number(len(queries))),
            ("photos that cannot be read", number(len(thumbnail.unreadable))),
        ],
        findings=list(space_findings(found)),
        names=names,
        lines=nan_to_none([table_line(space, found[0]) for space in found]),
        pictures=[
            *(cosine_picture(space) for space in found),
            *(measure_picture(name, found) for name in names),
        ],
        categories=[
            (
                name,
                count,
                [metrics[s.name]["category_precision"][name] for s in found],
            )
            for name, (count, _) in list(
                by_category(found[0].measures[CATEGORY], asked).items()
            )[:_SHOWN_CATEGORIES]
        ],
        spaces=[space.name for space in found],
        examples=examples,
        num_neighbours=num_neighbours,
        gates=metrics.get("gates"),
        gate_pictures=[]
        if gates is None
        else [
            use_picture(gates, gate_items.categories, place)
            for place in range(len(gates.consumers))
        ],
    )
    return metrics


def _examples(
    found: Sequence[Space],
    items: Likeness,
    num_shown: int,
    rng: np.random.Generator,
    thumbnail: Thumbnails,
) -> Iterator[dict[str, Any]]:
    """Queries with a photo, of as many categories as there are."""
    queries = found[0].neighbours.queries
    order = rng.permutation(len(queries))
    turns: dict[str, int] = {}
    turn = {}
    for row in order:
        category = str(items.categories[queries[row]])
        turn[row] = turns[category] = turns.get(category, -1) + 1
    shown = 0
    for row in sorted(order, key=lambda row: turn[row]):
        if shown == num_shown:
            return
        query = queries[row]
        if thumbnail(items.paths[query]) is None:
            continue
        shown += 1
        yield {
            "query": _item(items, query, thumbnail),
            "rows": [
                {
                    "space": space.name,
                    "items": [
                        _item(items, place, thumbnail)
                        | {
                            "cosine": float(cosine),
                            "same": items.categories[place]
                            == items.categories[query],
                        }
                        for place, cosine in zip(
                            space.neighbours.places[row],
                            space.neighbours.cosines[row],
                            strict=True,
                        )
                        if place >= 0
                    ],
                }
                for space in found
            ],
        }


def _item(items: Likeness, place: int, thumbnail: Thumbnails) -> dict[str, Any]:
    return {
        "id": str(items.item_ids[place]),
        "category": str(items.categories[place]),
        "photo": thumbnail(items.paths[place]),
    }
