"""Trains a registered model on a data folder."""

from pathlib import Path
from typing import Any

import keras

from jd_tf.data.dataset import read_schema
from jd_tf.data.item_pairs.item_pairs import ItemPairs, check_names
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.models.config_fields import flat_fields, replace_fields
from jd_tf.models.registry import DEFAULT_MODEL, build_model, get_model
from jd_tf.schema import DataError, Schema
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import check_training, train_folder
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.workdir import PAIRS_FILE


def train(
    data: str | Path,
    workdir: str | Path,
    model: str = DEFAULT_MODEL,
    model_config: Any = None,
    training_config: TrainingConfig | None = None,
    item_vectors: str | Path | None = None,
    pairs: str | Path | None = None,
    continue_on: bool = False,
) -> Trainer:
    """Trains a model of the data's schema, or resumes the run of a folder.

    Args:
        data: folder made by `make_data`, with the splits "train" and
            "validation".
        workdir: of the run; made if missing, resumed if it holds the same
            run.
        model: a name of the registry.
        model_config: of the model's config class; its defaults if None.
        training_config: of the run; defaults if None.
        item_vectors: file of image vectors, made by `embed_images`; turns
            images on. Left out, a resumed run keeps those it has.
        pairs: file of item pairs, made by `make_pairs`; turns pairs on. Left
            out, a resumed run keeps those it has.
        continue_on: go on from the best weights of a run on other data, such
            as those of the day before; refused otherwise.

    Returns:
        The trainer: `step_fn.model` has the best evaluation's weights, `state`
        the history, `stopped_by` and `signal` the reason of the end.

    Raises:
        DataError: for an unknown model, a config of another class, vectors
            that are missing or have ids of another kind, and all that
            `train_folder` raises.
        NotFiniteError: a loss or gradient is NaN or infinite.
    """
    training_config = training_config or TrainingConfig()
    ranker, tables = _build_ranker(
        data, workdir, model, model_config, training_config, item_vectors, pairs
    )
    return train_folder(
        ranker, data, workdir, training_config, tables, continue_on
    )


def check_run(
    data: str | Path,
    workdir: str | Path,
    model: str,
    model_config: Any,
    training_config: TrainingConfig,
    item_vectors: str | Path | None = None,
    pairs: str | Path | None = None,
) -> None:
    """Raises what `train` would before its first step; writes nothing."""
    ranker, _ = _build_ranker(
        data, workdir, model, model_config, training_config, item_vectors, pairs
    )
    check_training(ranker, data, training_config)


def _build_ranker(
    data: str | Path,
    workdir: str | Path,
    model: str,
    model_config: Any,
    training_config: TrainingConfig,
    item_vectors: str | Path | None,
    pairs: str | Path | None,
) -> tuple[keras.Model, ItemPairs | None]:
    """Returns a new model and the item pairs that it was given."""
    entry = get_model(model)
    if not hasattr(entry.model_class, "training_outputs"):
        raise DataError(
            f"model `{model}` ranks nothing and is trained by "
            "`python -m experiments.train_retrieval`."
        )
    config = entry.config_class() if model_config is None else model_config
    if not isinstance(config, entry.config_class):
        raise DataError(
            f"model `{model}` takes a {entry.config_class.__name__}. "
            f"Got: {type(config).__name__}."
        )
    keras.utils.set_random_seed(training_config.seed)
    schema, vectors = read_schema(data), None
    images = config_fields(config, "use_images", "num_image_rows")
    if item_vectors is not None:
        vectors = load_vectors(item_vectors, schema)
        num_rows = max(images.get("num_image_rows", 0), len(vectors))
        changes = {
            "use_images": images.get("use_images") or "transfer",
            "num_image_rows": num_rows,
            "image_dim": vectors.width,
        }
        config = replace_fields(config, changes)
    elif images.get("use_images") and not images["num_image_rows"]:
        raise DataError(
            f"--use_images={images['use_images']} needs image vectors: "
            "give --item_vectors, a file made by embed_images."
        )
    tables = None
    reads_pairs = config_fields(config, "use_pairs").get("use_pairs")
    kept = Path(workdir) / PAIRS_FILE
    if pairs is not None or reads_pairs:
        tables = ItemPairs.load(pairs or kept)
        check_names(schema, tables.columns, tables.kinds, tables.where)
        config = replace_fields(config, tables.model_fields())
    policy = training_config.dtype_policy
    # A user's model may take no policy.
    options = {} if policy == "float32" else {"dtype": policy}
    ranker = build_model(model, schema, config, **options)
    if tables is not None:
        ranker.pairs.assign(tables.columns, parts=True)
    if vectors is not None:
        ranker.assign_images(vectors.item_ids, vectors.vectors)
    return ranker, tables


def load_vectors(path: str | Path, schema: Schema) -> ItemVectors:
    """Reads image vectors of items, a file made by `embed_images`.

    Raises:
        DataError: if the file is unusable, or not of the schema's `item_id`.
    """
    vectors = ItemVectors.load(path)
    wanted = schema.item_columns[0].dtype
    kind = "int64" if vectors.item_ids.dtype == "int64" else "string"
    if kind != wanted:
        raise DataError(
            f"{path}: `item_ids` are {kind}, but `item_id` of schema "
            f"`{schema.name}` is {wanted}. Embed the catalogue of this shop."
        )
    return vectors


def config_fields(config: Any, *names: str) -> dict[str, Any]:
    """Returns the fields of short names that a config has."""
    fields = {n.rpartition(".")[2]: v for n, v in flat_fields(config).items()}
    return {name: fields[name] for name in names if name in fields}
