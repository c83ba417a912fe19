"""What `train` and `quickstart` share: a ranker from data to weights."""

import dataclasses
import sys
from pathlib import Path

import keras

from jd_tf.data.dataset import read_schema
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError, Schema
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.loop.trainer import NotFiniteError

NOT_FINITE = 3


def train_ranker(
    data_dir: str | Path,
    workdir: str | Path,
    model_config: JDRankerConfig,
    training_config: TrainingConfig,
    item_vectors: str | Path | None = None,
) -> int:
    """Trains a ranker of the data's schema, or goes on with one.

    Args:
        data_dir: made by make_data.
        workdir: of the run.
        model_config: of the ranker.
        training_config: of the run.
        item_vectors: image vectors, of `embed_images`. Left out, a run that
            goes on keeps those it has.

    Returns:
        Steps taken, those of earlier sessions included.

    Raises:
        SystemExit: with the exit code, if the run was stopped by a signal or
            ran into numbers that are not finite.
    """
    keras.utils.set_random_seed(training_config.seed)
    schema, vectors = read_schema(data_dir), None
    if item_vectors is not None:
        vectors = load_vectors(item_vectors, schema)
        model_config = with_room(model_config, vectors)
    elif model_config.use_images and not model_config.num_image_rows:
        raise DataError(
            f"--use_images={model_config.use_images} needs image vectors: "
            "give --item_vectors, a file made by embed_images."
        )
    model = JDRanker(schema, model_config)
    if vectors is not None:
        model.assign_images(vectors.item_ids, vectors.vectors)
    try:
        trainer = train_folder(model, data_dir, workdir, training_config)
    except NotFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_FINITE)
    if trainer.signal:
        sys.exit(128 + trainer.signal)
    state = trainer.state
    print(
        f"trained {state.step} steps on {state.impressions:,} impressions in "
        f"{state.seconds:.0f} s; stopped by {trainer.stopped_by}"
    )
    if state.best_step >= 0:
        print(
            f"best {training_config.monitor} {state.best_value:.5f} at step "
            f"{state.best_step}, in {trainer.checkpoints.folder}"
        )
    return state.step


def load_vectors(path: str | Path, schema: Schema) -> ItemVectors:
    """Image vectors of items whose ids are of the schema's kind."""
    vectors = ItemVectors.load(path)
    wanted = schema.item_columns[0].dtype
    kind = "int64" if vectors.item_ids.dtype == "int64" else "string"
    if kind != wanted:
        raise DataError(
            f"{path}: `item_ids` are {kind}, but `item_id` of schema "
            f"`{schema.name}` is {wanted}. Embed the catalogue of this shop."
        )
    return vectors


def with_room(config: JDRankerConfig, vectors: ItemVectors) -> JDRankerConfig:
    """The config with images on and an image table that holds the vectors."""
    return dataclasses.replace(
        config,
        use_images=config.use_images or "transfer",
        num_image_rows=max(config.num_image_rows, len(vectors.item_ids)),
        image_dim=vectors.width,
    )
