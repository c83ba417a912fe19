"""Our models beside those of torch-rechub, on the same requests and budget.

    pip install 'jd_tf[rivals]'
    python -m experiments.benchmarks.libraries.other_libraries \
        --data=runs/data --models=din,bst,mmoe --seeds=1,2,3 \
        --output=runs/libraries

Trains DIN, BST and MMOE of torch-rechub, with its own trainers and loaders, on
the impressions of the requests that `din`, `bst` and `pooled_mmoe` train on:
same ids, context and normalised numbers, width of tables, widths of networks,
dropout, epochs, Adam and rate; DIN and BST on the first objective, as theirs
have one. Sizes that the data's preset has are the preset's. Their batch size
is the best of --batch_rows by validation with the first seed. Every system
keeps its best epoch by validation AUC of the first objective. Then ours and
theirs are timed in turns, in processes of their own, with as many threads, by
wall and by processor time, which a busy machine disturbs less.

Writes `card.json` and `card.md` and prints the tables. Finished runs are not
run again.
"""

import os
import platform
import sys
import time
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_DATA = flags.DEFINE_string("data", None, "Folder of make_data.", required=True)
_MODELS = flags.DEFINE_list("models", ["din", "bst", "mmoe"], "Of theirs.")
_SEEDS = flags.DEFINE_list("seeds", ["1"], "Of the trainings.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_EPOCHS = flags.DEFINE_integer("epochs", 1, "Of every training.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 0.001, "Of tables and all else.", lower_bound=0.0
)
_EMBEDDING_DIM = flags.DEFINE_integer(
    "embedding_dim", 16, "Width of every table.", lower_bound=4
)
_BATCH_ROWS = flags.DEFINE_list(
    "batch_rows", ["256", "1024", "4096"], "Impressions a batch of theirs."
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "Turns of timing; 0: none.", lower_bound=0
)
_RUN_SECONDS = flags.DEFINE_float(
    "run_seconds", 10.0, "Of processor time, in a turn.", lower_bound=0.1
)
_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 200, "Resamples of the intervals.", lower_bound=2
)
_THREADS = flags.DEFINE_integer(
    "threads",
    0,
    "That each system computes with; 0: one a processor. On a busy machine "
    "take 1, as threads of torch spin while they wait for each other.",
    lower_bound=0,
)
CARD_FILE, TABLE_FILE = "card.json", "card.md"


def main(_: object) -> None:
    """Trains and times what is not done yet; writes the card."""
    seeds, sizes = _numbers("seeds"), _numbers("batch_rows")
    if not Path(_DATA.value).is_dir():
        raise DataError(f"--data={_DATA.value}: no such folder.")
    # Late, so that --help does not wait for TensorFlow.
    from experiments.benchmarks.libraries import library_contest as contest
    from experiments.benchmarks.libraries.libraries_card import (
        card_markdown,
        make_libraries_card,
    )
    from jd_tf.data.files import write_json, write_whole

    for name in _MODELS.value:
        if name not in contest.MODELS:
            raise DataError(
                f"--models: `{name}` is none of {', '.join(contest.MODELS)}."
            )
    contest.check_installed()
    threads = _THREADS.value or len(os.sched_getaffinity(0))
    contest.limit_threads(threads)
    output = Path(_OUTPUT.value)
    settings = contest.Settings(
        output,
        _EPOCHS.value,
        _LEARNING_RATE.value,
        _EMBEDDING_DIM.value,
        _REPLICATES.value,
        _RUN_SECONDS.value,
        threads,
    )
    cells, tried, turns = [], {}, {}
    for name in _MODELS.value:
        entry = contest.Contest(name, Path(_DATA.value), settings)
        print(f"\n== {name}, batches of theirs", flush=True)
        tried[name] = [
            entry.run(contest.THEIRS, seeds[0], size) for size in sizes
        ]
        size = contest.best_batch(tried[name])
        for seed in seeds:
            for system in contest.SYSTEMS:
                print(f"\n== {name}, {system}, seed {seed}", flush=True)
                rows = size if system == contest.THEIRS else 0
                cells.append(entry.run(system, seed, rows))
        turns[name] = []
        for number in range(_ROUNDS.value):
            turns[name].append(entry.time(number, seeds[0], size))
            taken = {
                system: turns[name][-1][system]
                for system in (contest.OURS, "documented", "sliced")
            }
            print(f"turn {number + 1}: {taken}", flush=True)
    name = "python -m experiments.benchmarks.libraries.other_libraries"
    facts = {
        "command": " ".join([name, *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "threads": threads,
        "date": time.strftime("%Y-%m-%d"),
    }
    card = make_libraries_card(cells, tried, turns, facts)
    text = card_markdown(card)
    write_json(output / CARD_FILE, card)
    write_whole(output / TABLE_FILE, f"{text}\n".encode())
    print(f"\n{text}\n\ncard: {output / CARD_FILE}")


def _numbers(name: str) -> list[int]:
    texts = flags.FLAGS[name].value
    wrong = [text for text in texts if not text.isdigit() or int(text) < 1]
    if wrong or not texts or len(set(texts)) < len(texts):
        raise DataError(
            f"--{name}={','.join(texts)}: name whole numbers above 0, each "
            "once."
        )
    return [int(text) for text in texts]


if __name__ == "__main__":
    program.run(main)
