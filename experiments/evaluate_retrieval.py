"""Evaluates a two-tower model among all items of its catalogue.

    python -m experiments.evaluate_retrieval --data=runs/data \
        --workdir=runs/two_tower --split=test

Prints recall and NDCG of the requests' positive items with 95 % intervals of a
bootstrap over requests, and beside them those of popularity: items ordered by
how often the training data have them next. Items of the history do not
compete, unless the model `repeats`.
"""

from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string("data", None, "Data folder.", required=True)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train_retrieval.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split of the data.")


def main(_: object) -> None:
    """Evaluates and prints a table."""
    from jd_tf.pipeline.catalogue import Catalogue
    from jd_tf.training.retrieval.evaluate_retrieval import evaluate_retrieval
    from jd_tf.training.retrieval.train_retrieval import CATALOGUE_FILE

    catalogue = Catalogue.load(Path(_WORKDIR.value) / CATALOGUE_FILE)
    table = evaluate_retrieval(
        _DATA.value, _WORKDIR.value, catalogue.columns, _SPLIT.value
    )
    for system, metrics in table.items():
        print(system)
        for name, (mean, low, high) in metrics.items():
            print(f"  {name:<12} {mean:.4f}  [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
    program.run(main)
