"""Makes a recommender of a data folder and an exported ranker.

    python -m experiments.build_recommender --data=DIR \
        --saved_model=saved_models/jd_ranker --output=DIR

Writes catalogue, statistics, tables of neighbours, a two-tower model with its
index, a coarse tower distilled from the ranker, also as a SavedModel, and
`recommender.yaml`, which a person may edit. Its weights of recall channels are
those that find most for users of the validation split. Whatever is made already
is not made again.
"""

import os
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from experiments.steps import Steps

_DATA = flags.DEFINE_string(
    "data", None, "Folder made by experiments.make_data.", required=True
)
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", None, "A ranker's folder, of export.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_COARSE_REQUESTS = flags.DEFINE_integer(
    "coarse_requests",
    6000,
    "Requests that the coarse tower learns from; 0 for no coarse tower.",
    lower_bound=0,
)
_TWO_TOWER_EPOCHS = flags.DEFINE_integer(
    "two_tower_epochs",
    15,
    "Epochs of a two-tower model at most; 0 for none.",
    lower_bound=0,
)
_TUNE_USERS = flags.DEFINE_integer(
    "tune_users",
    1000,
    "Users of the validation split who choose the weights of recall channels; "
    "0: they stay guesses.",
    lower_bound=0,
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Begin anew.")

STATE_FILE = "build_recommender.json"


def main(_: object) -> None:
    """Makes what is missing."""
    from jd_tf.serving.export.versions import resolve

    folder = Path(_OUTPUT.value)
    data, saved_model = Path(_DATA.value), Path(_SAVED_MODEL.value)
    # Before minutes are spent on what needs no ranker.
    resolve(saved_model)
    run = Steps(
        folder / STATE_FILE,
        {
            "data": str(data.resolve()),
            "saved_model": str(saved_model.resolve()),
            "coarse_requests": _COARSE_REQUESTS.value,
            "two_tower_epochs": _TWO_TOWER_EPOCHS.value,
            "tune_users": _TUNE_USERS.value,
        },
        "Name another --output, or pass --overwrite to begin anew.",
        _OVERWRITE.value,
        made=("two_tower_run", "two_tower", "coarse", "coarse_tower"),
    )
    from jd_tf.pipeline import preparation

    link = os.path.relpath(saved_model.resolve(), folder.resolve())
    run.step(
        "counting what goes together",
        "recall",
        lambda: preparation.prepare_recall(data, folder),
    )
    if _TWO_TOWER_EPOCHS.value:
        run.step(
            "training two towers",
            "two_tower",
            lambda: preparation.prepare_two_tower(
                data, folder, _TWO_TOWER_EPOCHS.value, program.PROGRESS.value
            ),
        )
    if _COARSE_REQUESTS.value:
        run.step(
            "distilling the coarse tower",
            "coarse",
            lambda: preparation.prepare_coarse(
                data,
                folder,
                link,
                _COARSE_REQUESTS.value,
                program.PROGRESS.value,
            ),
        )
    run.step(
        "writing the settings",
        "config",
        lambda: preparation.write_config(
            folder, link, coarse=bool(_COARSE_REQUESTS.value)
        ),
    )
    if _TUNE_USERS.value:
        run.step(
            "weighing the channels", "weights", lambda: _tune(data, folder)
        )
    print(f"\nrecommender: {folder / preparation.CONFIG_FILE}")


def _tune(data: Path, folder: Path) -> dict[str, Any]:
    """Fits the weights of the channels; returns what each gave."""
    from jd_tf.pipeline import channel_tuning, preparation

    found = channel_tuning.tune_channels(
        folder / preparation.CONFIG_FILE, data, _TUNE_USERS.value
    )
    print(channel_tuning.tuning_text(found))
    return found


if __name__ == "__main__":
    program.run(main)
