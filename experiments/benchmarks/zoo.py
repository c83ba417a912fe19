"""The zoo's card: every model on every data set, with intervals.

    python -m experiments.benchmarks.zoo --models=pooled_mmoe,deep_fm,ple \
        --data=simulator,jd_micro:LOGS --seeds=1,2 --output=runs/zoo

Trains every model on every data set with every seed, with the sizes and the
training of the data's preset of quickstart, and judges the test split. A data
set is `NAME:FOLDER`: a folder of make_data, or, where NAME is a source of
quickstart, its log; `simulator` alone makes its shop. The model `quickstart`
is `jd_ranker` with its trees and item pairs. `--configs` names a folder of
frozen configs, such as `experiments/configs`: `DATA/MODEL.yaml`, or
`MODEL.yaml` for all data sets, in place of the preset's. Finished cells are
not run again, and a killed one goes on; models, data and seeds may be added.
`--add_to` keeps the other data sets of an older card.

Writes `card.json`, `card.md` and `card.png` (quality against latency) and
prints the table. `python -m experiments.write_tables` puts it on pages.
"""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from experiments.run_config import MODEL, TRAINING, read_run_config
from jd_tf.schema import DataError

_MODELS = flags.DEFINE_list(
    "models",
    None,
    "Registered names; others are compared with the first.",
    required=True,
)
_DATA = flags.DEFINE_list(
    "data", None, "NAME:FOLDER of every data set.", required=True
)
_SEEDS = flags.DEFINE_list("seeds", ["1"], "Of the trainings.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_CONFIGS = flags.DEFINE_string(
    "configs", None, "Folder of frozen configs, see above; --set wins."
)
_ADD_TO = flags.DEFINE_string(
    "add_to", None, "A card.json whose other data sets the new card keeps."
)
_SET = flags.DEFINE_multi_string(
    "set",
    [],
    "MODEL.FIELD=value or training.FIELD=value, e.g. "
    "deep_fm.hidden_units=(64,32).",
)
_CANDIDATES = flags.DEFINE_integer(
    "candidates", 200, "Of the request that is timed.", lower_bound=1
)
_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 200, "Resamples of the intervals.", lower_bound=2
)
CARD_FILE, TABLE_FILE, PICTURE_FILE = "card.json", "card.md", "card.png"


def main(_: object) -> None:
    """Runs what is not finished, data set by data set; writes the card."""
    models, changes = _distinct(_MODELS.value), _changes()
    if _CONFIGS.value and not Path(_CONFIGS.value).is_dir():
        raise DataError(f"--configs={_CONFIGS.value}: no such folder.")
    output = Path(_OUTPUT.value)
    # Late, so that --help does not wait for TensorFlow.
    from experiments.ablation_plan import parse_seeds
    from experiments.zoo_card import (
        add_card,
        card_markdown,
        card_picture,
        make_card,
    )
    from experiments.zoo_cells import open_data, run_cell
    from jd_tf.data.files import read_json, write_json, write_whole

    seeds, older = parse_seeds(_SEEDS.value), None
    if _ADD_TO.value:
        if not Path(_ADD_TO.value).is_file():
            raise DataError(f"--add_to={_ADD_TO.value}: no such file.")
        older = read_json(Path(_ADD_TO.value))
    _check_models(models, changes)
    sets = [open_data(text, output) for text in _DATA.value]
    _distinct([data.name for data in sets])
    cells = []
    for data in sets:
        for seed in seeds:
            for model in models:
                print(f"\n== {data.name}, {model}, seed {seed}", flush=True)
                cells.append(
                    run_cell(
                        model,
                        data,
                        seed,
                        output,
                        _frozen(data.name, model, changes),
                        _CANDIDATES.value,
                        _REPLICATES.value,
                    )
                )
    command = " ".join(["python -m experiments.benchmarks.zoo", *sys.argv[1:]])
    facts = {
        "command": command,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "date": time.strftime("%Y-%m-%d"),
        "num_candidates": _CANDIDATES.value,
    }
    card = make_card(cells, models, facts)
    if older:
        card = add_card(older, card)
    text = card_markdown(card)
    write_json(output / CARD_FILE, card)
    write_whole(output / TABLE_FILE, f"{text}\n".encode())
    write_whole(output / PICTURE_FILE, card_picture(card))
    print(f"\n{text}\n\ncard: {output / CARD_FILE}")


def _check_models(models: list[str], changes: dict[str, Any]) -> None:
    """Refuses names before anything is made."""
    from experiments.zoo_cells import QUICKSTART
    from jd_tf.models.registry import get_model

    for name in models:
        if name != QUICKSTART:
            entry = get_model(name)
            if not hasattr(entry.model_class, "training_outputs"):
                raise DataError(f"--models: `{name}` ranks nothing.")
    unknown = sorted(set(changes) - {TRAINING, *models})
    if unknown:
        raise DataError(
            f"--set={unknown[0]}...: is none of {', '.join(models)} or "
            f"`{TRAINING}`."
        )


def _frozen(data: str, model: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the changes of a cell: its frozen config, then --set."""
    from experiments.zoo_cells import QUICKSTART
    from jd_tf.models.registry import DEFAULT_MODEL

    if not _CONFIGS.value:
        return changes
    folder = Path(_CONFIGS.value)
    paths = [folder / data / f"{model}.yaml", folder / f"{model}.yaml"]
    for path in filter(Path.is_file, paths):
        file = read_run_config(path)
        name = DEFAULT_MODEL if model == QUICKSTART else model
        if file.model not in ("", name):
            raise DataError(f"{path}: is of `{file.model}`, not `{name}`.")
        training = file.fields[TRAINING]
        training.pop("seed", None)
        return {
            model: file.fields[MODEL] | changes.get(model, {}),
            TRAINING: training | changes.get(TRAINING, {}),
        }
    return changes


def _changes() -> dict[str, dict[str, str]]:
    changes: dict[str, dict[str, str]] = {}
    for text in _SET.value:
        field, equals, value = text.partition("=")
        group, dot, name = field.strip().partition(".")
        if not equals or not dot:
            raise DataError(f"--set={text}: write MODEL.FIELD=value.")
        changes.setdefault(group, {})[name] = value.strip()
    return changes


def _distinct(values: list[Any]) -> list[Any]:
    if not values or len(set(values)) < len(values):
        raise DataError(f"name at least one of each, once. Got: {values}.")
    return values


if __name__ == "__main__":
    program.run(main)
