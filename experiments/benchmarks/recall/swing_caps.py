"""Swing's recall against the cap of users an item, on public timelines.

    python -m experiments.benchmarks.recall.swing_caps --dataset=Beauty \
        --input=../shared/data/amazon_sequences --output=runs/recall

A line a cap: seconds of the job, neighbours found, recall@20 and recall@100
of the validation targets among all items but those of the history.
"""

import time
from pathlib import Path

from absl import flags

from experiments import program

_INPUT = flags.DEFINE_string(
    "input", None, "Folder of the data sets.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_DATASET = flags.DEFINE_string("dataset", None, "Its name.", required=True)
_CAPS = program.needs_entries(
    flags.DEFINE_list(
        "caps", ["5", "10", "20", "50", "100", "200", "0"], "Caps; 0: none."
    )
)


def main(_: object) -> None:
    """Makes a table a cap and prints what it recalls."""
    from experiments.benchmarks.recall.recall_judging import (
        recall_all,
        request_metrics,
    )
    from experiments.benchmarks.recall.sequences_recall import (
        sequence_data,
        sequence_requests,
    )
    from jd_tf.pipeline.recall.interactions import Interactions
    from jd_tf.pipeline.recall.neighbors import Neighbors
    from jd_tf.pipeline.recall.swing import swing_table

    output = Path(_OUTPUT.value) / _DATASET.value
    source, data = sequence_data(Path(_INPUT.value), _DATASET.value, output)
    interactions = Interactions.of_timelines(source.timelines)
    requests = sequence_requests(source, data, "validation")
    print(f"an item has at most {interactions.popularity().max()} users")
    print(f"{'cap':>6}{'seconds':>9}{'pairs':>12}{'@20':>8}{'@100':>8}")
    for cap in map(int, _CAPS.value):
        start = time.monotonic()
        table = swing_table(interactions, max_users=cap)
        seconds = time.monotonic() - start
        lists = recall_all(Neighbors("swing", table, {"click": 1.0}), requests)
        found = request_metrics(lists, requests, interactions)
        recalls = "".join(
            f"{found[f'recall@{k}'].mean():8.4f}" for k in (20, 100)
        )
        print(
            f"{cap or 'none':>6}{seconds:9.1f}{table.weights.nnz:12,}{recalls}",
            flush=True,
        )


if __name__ == "__main__":
    program.run(main)
