"""Writes a page that tells how well likeness shows in an embedding.

    python -m experiments.similarity_report --output=runs/similarity \
        --catalogue=runs/data/catalogue.csv \
        --vectors=before=runs/before.npz,after=runs/after.npz

Vectors are `.npz` files of `experiments.embed_images`; a catalogue is a CSV
file with `item_id`, `path` and `category_id` or `word`, and perhaps style, or
a folder with one folder of photos a category. Writes `similarity.html` and
`similarity.json`.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_VECTORS = program.needs_entries(
    flags.DEFINE_list(
        "vectors",
        None,
        "name=file.npz of every space; others are compared with the first.",
        required=True,
    )
)
_CATALOGUE = flags.DEFINE_string(
    "catalogue", None, "CSV file or folder of photos.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_STYLE = flags.DEFINE_list(
    "style",
    [],
    "Columns of style; `style`, or s0, s1, ... where the catalogue has them.",
)
_GATES = flags.DEFINE_string(
    "gates",
    None,
    "An .npz of `item_ids`, `gates` (items, gates, experts), and perhaps the "
    "names `consumers` and `experts`.",
)
_NUM_NEIGHBOURS = flags.DEFINE_integer(
    "num_neighbours", 10, "Neighbours of a query.", lower_bound=1
)
_MAX_QUERIES = flags.DEFINE_integer(
    "max_queries", 5000, "Queries at most.", lower_bound=1
)
_NUM_SHOWN = flags.DEFINE_integer(
    "num_shown", 12, "Queries shown with their neighbours.", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the queries drawn.", lower_bound=0)


def main(_: object) -> None:
    """Writes the page and prints what the neighbours share."""
    from jd_tf.data.item_vectors import ItemVectors
    from jd_tf.evaluation.similarity.catalogue import read_styles
    from jd_tf.evaluation.similarity.gate_use import GateUse
    from jd_tf.evaluation.similarity.report import (
        PAGE_FILE,
        write_similarity_report,
    )

    files = _named(_VECTORS.value)
    spaces = {name: ItemVectors.load(path) for name, path in files.items()}
    metrics = write_similarity_report(
        _OUTPUT.value,
        spaces,
        read_styles(_CATALOGUE.value, _STYLE.value or None),
        GateUse.load(_GATES.value) if _GATES.value else None,
        _NUM_NEIGHBOURS.value,
        _MAX_QUERIES.value,
        _NUM_SHOWN.value,
        _SEED.value,
    )
    for name in spaces:
        for measure, found in metrics[name]["neighbours"].items():
            print(
                f"{name:<16} {measure:<34} {found['mean']:.4f} "
                f"(at random {found['at_random']:.4f})"
            )
    print(f"report: {Path(_OUTPUT.value) / PAGE_FILE}")


def _named(texts: list[str]) -> dict[str, str]:
    """name=path pairs; a path alone is named after its file."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = Path(text).stem, text
        if not name or not path or name in found or name == "gates":
            raise DataError(
                "--vectors are name=file.npz, each name once and not `gates`. "
                f"Got: {text!r}."
            )
        found[name] = path
    return found


if __name__ == "__main__":
    program.run(main)
