"""Ranks the requests of a file with a SavedModel and nothing else.

    python -m experiments.rank --saved_model=saved_models/jd_ranker \
        --requests=requests.json

`--requests` is JSON (a request, a list of them, or one a line) or a TFRecord
file of a data folder. A request in JSON, histories newest first:

    {"request_id": "17", "item_id": [3, 5], "click_item_id": [9, 4],
     "click_age_seconds": [12.0, 80.5], "order_item_id": [], ...}
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_SAVED_MODEL = flags.DEFINE_string(
    "saved_model",
    None,
    "A version folder, or a model's folder, whose highest version is taken.",
    required=True,
)
_REQUESTS = flags.DEFINE_string(
    "requests", None, "JSON or TFRecord file of requests.", required=True
)
_TOP = flags.DEFINE_integer(
    "top", 10, "Items shown of each request.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file for the same, with every digit."
)


def main(_: object) -> None:
    """Prints a table per request and writes the JSON file, if asked to."""
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.data.dataset import write_json
    from jd_tf.serving.request_file import read_requests
    from jd_tf.serving.saved_ranker import SavedRanker

    output = Path(_OUTPUT.value) if _OUTPUT.value else None
    if output and output.is_dir():
        raise DataError(f"{output}: is a folder; name a file.")
    ranker = SavedRanker(_SAVED_MODEL.value)
    requests = read_requests(_REQUESTS.value, ranker.schema)
    try:
        rankings = ranker.rank(requests)
    except DataError as error:
        raise DataError(f"{_REQUESTS.value}: {error}") from error
    print(f"{ranker.folder}: {len(rankings)} requests")
    for ranking in rankings:
        print()
        print(ranking.table(_TOP.value))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            output, [ranking.to_json(_TOP.value) for ranking in rankings]
        )


if __name__ == "__main__":
    program.run(main)
