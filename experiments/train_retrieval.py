"""Trains a two-tower retrieval model; run again, it goes on.

    python -m experiments.train_retrieval --data=runs/data \
        --workdir=runs/two_tower --set=model.model_dim=128

Every event of a user's timeline is an example of the next one; validation
requests rank their positive item among all items of the catalogue. The
catalogue is that of --items, or what requests of the training split show, each
item as it was seen last; the work folder keeps it as `catalogue.npz`.
Fields of --set are those of `TwoTowerConfig` and `TrainingConfig`; a resumed
run keeps its own.

Exit codes: 0 trained; 2 unusable data, flags or checkpoint; 3 a loss or
gradient that is not finite; 130 and 143 stopped by Ctrl-C or SIGTERM after
writing a checkpoint.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.models.config_fields import config_from_json, replace_fields
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run; resumed if there is one.",
    required=True,
)
_ITEMS = flags.DEFINE_string(
    "items", None, "Catalogue file; by default the items of the training split."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "model.FIELD=value or training.FIELD=value, of any field."
)


def main(_: object) -> None:
    """Composes the configs from flags and trains."""
    from experiments.train_ranker import finish_training
    from jd_tf.data.dataset import read_schema
    from jd_tf.data.files import read_json
    from jd_tf.pipeline.catalogue import Catalogue
    from jd_tf.training.retrieval.train_retrieval import (
        CATALOGUE_FILE,
        retrieval_training_config,
        train_retrieval,
    )
    from jd_tf.training.workdir import CONFIG_FILE, read_state

    workdir = Path(_WORKDIR.value)
    begun = read_state(workdir)  # refuses what is no folder of a run
    model, training = TwoTowerConfig(), retrieval_training_config()
    if (workdir / CONFIG_FILE).is_file():
        stored = read_json(workdir / CONFIG_FILE)
        model = config_from_json(TwoTowerConfig, stored["model"]["config"])
        training = config_from_json(TrainingConfig, stored["training"])
    shown = {"progress": program.PROGRESS.value}
    changes: dict[str, dict] = {"model": {}, "training": shown}
    for text in _SET.value:
        field, equals, value = text.partition("=")
        group, _, rest = field.strip().partition(".")
        if not equals or group not in changes:
            raise DataError(
                f"--set={text}: write model.FIELD=value or "
                "training.FIELD=value."
            )
        changes[group][rest] = value.strip()
    model = replace_fields(model, changes["model"])
    training = replace_fields(training, changes["training"])
    kept = workdir / CATALOGUE_FILE
    if _ITEMS.value:
        catalogue = Catalogue.load(_ITEMS.value)
    elif begun is not None and kept.is_file():
        catalogue = Catalogue.load(kept)
    else:
        catalogue = Catalogue.of_records(_DATA.value, read_schema(_DATA.value))
    finish_training(
        lambda: train_retrieval(
            _DATA.value, workdir, catalogue.columns, model, training
        ),
        training.monitor,
    )


if __name__ == "__main__":
    program.run(main)
