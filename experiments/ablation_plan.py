"""Turns the flags of `ablate` into rows, pairs, sizes and settings."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.presets import QUICKSTART_PRESETS
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.ablations.row_presets import (
    CONTRASTS,
    ROW_PRESETS,
    missing_data,
    possible_rows,
)
from jd_tf.evaluation.ablations.rows import (
    Row,
    load_rows,
    parse_changes,
    parse_rows,
    resolve,
)
from jd_tf.models.registry import get_model
from jd_tf.schema import DataError, Schema
from jd_tf.training.config import TrainingConfig

# Fields of the training that never change what a step does.
_WITHOUT_EFFECT = (
    "seed",
    "progress",
    "steps_per_call",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
)


def choose_rows(
    text: str | None,
    path: str | None,
    preset: str | None,
    schema: Schema,
    vectors: bool,
) -> tuple[tuple[Row, ...], list[str]]:
    """Returns the rows given in one of three ways, and notes on them.

    Raises:
        DataError: for anything but one way, and for rows the data cannot
            feed.
    """
    if sum(value is not None for value in (text, path, preset)) != 1:
        raise DataError("give one of --rows, --rows_file and --preset.")
    if preset is not None:
        kept, notes = possible_rows(ROW_PRESETS[preset], schema, vectors)
        if len(kept) < 2:
            raise DataError(
                f"preset `{preset}` has nothing to compare on this data: "
                + " ".join(notes)
            )
        return kept, notes
    rows = load_rows(path) if path is not None else parse_rows(text or "")
    for row in rows:
        missing = missing_data(row, schema, vectors)
        if missing:
            raise DataError(
                f"row `{row.name}` needs {' and '.join(missing.values())}, "
                "which the data lacks. Leave it out, or make the data with "
                "it; item vectors are named by --item_vectors."
            )
    return rows, []


def choose_pairs(text: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Returns further comparisons: those of --pairs, then `CONTRASTS`."""
    names = [row.name for row in rows]
    pairs = []
    for part in filter(str.strip, text.split(";")):
        one, colon, other = (word.strip() for word in part.partition(":"))
        if not colon or not {one, other} <= set(names):
            raise DataError(
                "--pairs are written `row: other row; ...`; rows are: "
                f"{', '.join(names)}. Got: {part.strip()!r}."
            )
        pairs.append((one, other))
    against = {(row.name, row.against or names[0]) for row in rows}
    for pair in CONTRASTS:
        if set(pair) <= set(names) and pair not in against:
            pairs.append(pair)
    return list(dict.fromkeys(pairs))


def choose_sizes(
    name: str, common: str, given: Mapping[str, Any], model: str = "jd_ranker"
) -> tuple[Any, TrainingConfig]:
    """Returns the configs of model and training: a preset's with changes.

    Args:
        name: "source/preset" of `QUICKSTART_PRESETS`.
        common: changes to the model, see `parse_changes`.
        given: field of the training -> value, None for the preset's.
        model: registered name; where the preset is of another model, the
            defaults of this one are changed instead.
    """
    known = {
        "/".join(key): preset for key, preset in QUICKSTART_PRESETS.items()
    }
    if name not in known:
        raise DataError(
            f"there are no sizes `{name}`; name one of {', '.join(known)} "
            "with --sizes."
        )
    given = {k: v for k, v in given.items() if v is not None}
    training = dataclasses.replace(known[name].training, **given)
    config_class = get_model(model).config_class
    base: Any = known[name].model
    if not isinstance(base, config_class):
        base = config_class()
    changes = Row("--common", parse_changes(common, "--common"))
    return resolve(changes, base), training


def parse_seeds(texts: Sequence[str]) -> tuple[int, ...]:
    """Returns distinct seeds that a training takes."""
    try:
        seeds = tuple(TrainingConfig(seed=int(text)).seed for text in texts)
    except ValueError as error:
        raise DataError(f"--seeds={','.join(texts)}: {error}") from error
    if not seeds or len(set(seeds)) < len(seeds):
        raise DataError(f"--seeds={','.join(texts)}: name each seed once.")
    return seeds


def count_requests(
    data_dir: str | Path, split: str, limits: Mapping[str, int]
) -> dict[str, int]:
    """Returns the requests used of training, validation and judged split."""
    counts = {
        name: sum(split_files(data_dir, name).values())
        for name in ("train", "validation", split)
    }
    return {n: min(c, limits.get(n) or c) for n, c in counts.items()}


def effective_settings(training: TrainingConfig) -> dict[str, Any]:
    """Returns the settings of training that results depend on, not seeds."""
    fields = dataclasses.asdict(training)
    return {k: v for k, v in fields.items() if k not in _WITHOUT_EFFECT}


def digest(path: str | Path | None) -> str:
    """Returns a short text that differs where the file does; "" for none."""
    if not path:
        return ""
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file.")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def on_one_line(fields: Mapping[str, Any]) -> str:
    """Returns settings as `name=value, ...`."""
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())
