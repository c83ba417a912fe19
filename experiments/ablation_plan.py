"""What the flags of `ablate` mean."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.presets import PRESETS
from experiments.train_ranker import load_vectors
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.ablations.row_presets import (
    CONTRASTS,
    missing_data,
    possible_rows,
)
from jd_tf.evaluation.ablations.row_presets import PRESETS as ROWS
from jd_tf.evaluation.ablations.rows import (
    Row,
    check_changes,
    load_rows,
    parse_changes,
    parse_rows,
    resolve,
)
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError, Schema
from jd_tf.training.config import TrainingConfig

# These never change what a step does.
_DO_NOT_MATTER = (
    "seed",
    "progress",
    "steps_per_call",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
)


def rows(
    text: str | None,
    path: str | None,
    preset: str | None,
    schema: Schema,
    vectors: bool,
) -> tuple[tuple[Row, ...], list[str]]:
    """The rows asked for in one of three ways, and notes on them.

    Args:
        text: see `parse_rows`.
        path: see `load_rows`.
        preset: name of a built-in set.
        schema: of the data.
        vectors: whether there are item vectors.

    Raises:
        DataError: for anything but one way, for fields that the config
            lacks, and for rows the data cannot feed.
    """
    if sum(value is not None for value in (text, path, preset)) != 1:
        raise DataError("give one of --rows, --rows_file and --preset.")
    if preset is not None:
        for row in ROWS[preset]:
            check_changes(row.changes, row.name)
        kept, notes = possible_rows(ROWS[preset], schema, vectors)
        if len(kept) < 2:
            raise DataError(
                f"preset `{preset}` has nothing to compare on this data: "
                + " ".join(notes)
            )
        return kept, notes
    found = parse_rows(text) if text is not None else load_rows(path)
    for row in found:
        missing = missing_data(row, schema, vectors)
        if missing:
            raise DataError(
                f"row `{row.name}` needs {' and '.join(missing)}, which the "
                "data lacks. Leave it out, or make the data with it; item "
                "vectors are named by --item_vectors."
            )
    return found, []


def pairs(text: str, chosen: Sequence[Row]) -> list[tuple[str, str]]:
    """Further comparisons: those of the text, then the usual ones."""
    names = [row.name for row in chosen]
    against = {(r.name, r.against or names[0]) for r in chosen}
    found = []
    for part in filter(str.strip, text.split(";")):
        one, colon, other = (word.strip() for word in part.partition(":"))
        for name in (one, other):
            if not colon or name not in names:
                raise DataError(
                    "--pairs are written `row: other row; ...`; rows are: "
                    f"{', '.join(names)}. Got: {part.strip()!r}."
                )
        found.append((one, other))
    usual = [p for p in CONTRASTS if set(p) <= set(names) and p not in against]
    return list(dict.fromkeys([*found, *usual]))


def sizes(
    name: str,
    common: str,
    given: Mapping[str, Any],
    num_requests: int,
) -> tuple[JDRankerConfig, TrainingConfig]:
    """Model and training: those of a preset with changes.

    Args:
        name: "source/preset" of `experiments.presets`.
        common: changes to the model, see `parse_changes`.
        given: field of the training -> value, None for the preset's.
        num_requests: of training; a preset's decay is stretched to the whole
            training, as its own steps belong to another number of requests.
    """
    known = {"/".join(key): preset for key, preset in PRESETS.items()}
    if name not in known:
        raise DataError(
            f"there are no sizes `{name}`; name one of {', '.join(known)} "
            "with --sizes."
        )
    given = {k: v for k, v in given.items() if v is not None}
    training = dataclasses.replace(known[name].training, **given)
    steps = -(-num_requests // training.batch_size) * training.epochs
    if training.max_steps:
        steps = min(steps, training.max_steps)
    if training.decay_steps and "decay_steps" not in given:
        training = dataclasses.replace(training, decay_steps=steps)
    changes = Row("--common", parse_changes(common, "--common"))
    return resolve(changes, known[name].model), training


def with_vectors(
    model: JDRankerConfig, path: str | Path | None, schema: Schema
) -> JDRankerConfig:
    """The model with an image table that has room for a file's vectors."""
    if not path:
        return model
    found = load_vectors(path, schema)
    return dataclasses.replace(
        model, num_image_rows=len(found), image_dim=found.width
    )


def seeds(texts: Sequence[str]) -> tuple[int, ...]:
    """Seeds as whole numbers."""
    try:
        return tuple(int(text) for text in texts)
    except ValueError as error:
        raise DataError(f"--seeds must be whole numbers: {error}.") from error


def count_requests(
    data_dir: str | Path, split: str, limits: Mapping[str, int]
) -> dict[str, int]:
    """Requests of training, validation and the judged split that are used."""
    counts = {
        name: sum(split_files(data_dir, name).values())
        for name in ("train", "validation", split)
    }
    return {n: min(c, limits.get(n) or c) for n, c in counts.items()}


def what_matters(training: TrainingConfig) -> dict[str, Any]:
    """The settings of training that results depend on, seeds apart."""
    fields = dataclasses.asdict(training)
    return {k: v for k, v in fields.items() if k not in _DO_NOT_MATTER}


def digest(path: str | Path | None) -> str:
    """A short text that differs where the file does; "" for none."""
    if not path:
        return ""
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file.")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def written(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Settings on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v!r}" for k, v in value.items())
    return ", ".join(map(str, value))
