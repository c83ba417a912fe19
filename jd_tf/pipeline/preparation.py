"""The files of a recommender, made of a data folder and a ranker."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from jd_tf.data.dataset import read_schema
from jd_tf.data.files import write_whole
from jd_tf.pipeline.building import open_client
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.coarse_training import CoarseTraining, train_coarse
from jd_tf.pipeline.export.coarse_export import export_coarse
from jd_tf.pipeline.export.retrieval_export import export_retrieval
from jd_tf.pipeline.item_statistics import ItemStatistics
from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.ease import ease_table
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.swing import swing_table
from jd_tf.pipeline.recommender_config import (
    ChannelSettings,
    CoarseSettings,
    FineSettings,
    RecallSettings,
    RecommenderConfig,
    RerankSettings,
)
from jd_tf.pipeline.stages.rerank_stage import ItemRules
from jd_tf.schema import Schema
from jd_tf.serving.export.exporting import first_requests
from jd_tf.training.retrieval.train_retrieval import (
    retrieval_training_config,
    train_retrieval,
)

CONFIG_FILE = "recommender.yaml"
SCHEMA_FILE = "schema.json"
CATALOGUE_FILE = "catalogue.npz"
STATISTICS_FILE = "statistics.npz"
COARSE_FOLDER = "coarse"
TWO_TOWER_FOLDER = "two_tower"
_TABLES: dict[str, Callable[[Interactions], Any]] = {
    "swing": swing_table,
    "co_occurrence": co_occurrence_table,
    "ease": ease_table,
}
_MOST_EASE_ITEMS = 20_000
# Behaviours after which an item is not brought again.
_OWNED = ("order", "purchase", "buy")


def prepare_recall(data: str | Path, folder: str | Path) -> None:
    """Writes schema, catalogue, statistics and tables of neighbours.

    Args:
        data: folder of request records; the training split is read.
        folder: written to.

    Raises:
        DataError: if the data cannot be read.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    schema = read_schema(data)
    catalogue = Catalogue.of_records(data, schema)
    interactions = Interactions.of_records(data)
    schema.save(folder / SCHEMA_FILE)
    catalogue.save(folder / CATALOGUE_FILE)
    ItemStatistics.of(interactions).save(folder / STATISTICS_FILE)
    for name, make in _TABLES.items():
        if name != "ease" or len(interactions.item_id) <= _MOST_EASE_ITEMS:
            make(interactions).save(folder / f"{name}.npz")


def prepare_coarse(
    data: str | Path,
    folder: str | Path,
    saved_model: str,
    num_requests: int,
    progress: bool = True,
) -> None:
    """Distils the coarse tower from an exported ranker, and exports it.

    Args:
        data: folder of request records.
        folder: that of `prepare_recall`.
        saved_model: of the ranker, relative to `folder`.
        num_requests: that it learns from.
        progress: whether to show bars.
    """
    folder = Path(folder)
    schema = Schema.load(folder / SCHEMA_FILE)
    catalogue = Catalogue.load(folder / CATALOGUE_FILE)
    settings = FineSettings(saved_model=saved_model)
    with open_client(settings, folder, schema) as client:
        model = train_coarse(
            data,
            folder / COARSE_FOLDER,
            catalogue,
            client,
            training=CoarseTraining(num_requests),
            progress=progress,
        )
    requests = first_requests(data, schema)
    export_coarse(model, catalogue, folder, requests=requests)


def prepare_two_tower(
    data: str | Path, folder: str | Path, epochs: int, progress: bool = True
) -> None:
    """Trains and exports a two-tower model, whose channel then is there.

    Args:
        data: folder of request records.
        folder: that of `prepare_recall`.
        epochs: at most.
        progress: whether to show bars.

    Raises:
        SystemExit: a signal stopped the training; the same call goes on.
    """
    folder = Path(folder)
    catalogue = Catalogue.load(folder / CATALOGUE_FILE)
    config = retrieval_training_config(
        epochs=epochs, patience=3, progress=progress
    )
    run = folder / "two_tower_run"
    trainer = train_retrieval(data, run, catalogue.columns, None, config)
    if trainer.signal:
        # Half a training is not to be exported.
        sys.exit(128 + trainer.signal)
    export_retrieval(run, catalogue, data, folder, TWO_TOWER_FOLDER)


def default_channels(folder: str | Path) -> dict[str, ChannelSettings]:
    """Returns channels of all files that `prepare_recall` wrote."""
    folder = Path(folder)
    catalogue = Catalogue.load(folder / CATALOGUE_FILE)
    channels = {
        "popular": ChannelSettings("popular", weight=0.5),
        "new": ChannelSettings("new", weight=0.2, quota=20),
    }
    for name in _TABLES:
        if (folder / f"{name}.npz").is_file():
            channels[name] = ChannelSettings("neighbors", f"{name}.npz")
    if (folder / TWO_TOWER_FOLDER).is_dir():
        channels["two_tower"] = ChannelSettings("two_tower", TWO_TOWER_FOLDER)
    for column in ("shop_id", "brand_id", "category_id"):
        if column in catalogue.columns:
            name = f"same_{column.removesuffix('_id')}"
            channels[name] = ChannelSettings("same_value", column=column)
    return channels


def write_config(
    folder: str | Path, saved_model: str, coarse: bool = True
) -> None:
    """Writes the YAML file of a recommender with the default settings.

    Args:
        folder: that of `prepare_recall`.
        saved_model: of the ranker, relative to `folder`.
        coarse: whether there is a coarse tower.
    """
    folder = Path(folder)
    schema = Schema.load(folder / SCHEMA_FILE)
    catalogue = Catalogue.load(folder / CATALOGUE_FILE)
    alike = [c for c in ItemRules().likeness if c in catalogue.columns]
    config = RecommenderConfig(
        SCHEMA_FILE,
        CATALOGUE_FILE,
        STATISTICS_FILE,
        RecallSettings(
            default_channels(folder),
            exclude=tuple(b.name for b in schema.behaviors if b.name in _OWNED),
        ),
        CoarseSettings(folder=COARSE_FOLDER) if coarse else None,
        FineSettings(saved_model=saved_model),
        RerankSettings(items=ItemRules(tuple(alike or ("item_id",)))),
    )
    save_config(config, folder / CONFIG_FILE)


def save_config(config: RecommenderConfig, path: str | Path) -> None:
    """Writes the YAML file of a recommender, atomically."""
    fields = _given(config)
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    write_whole(Path(path), text.encode())


def _given(config: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass that are not the defaults."""
    given = {}
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if value != default:
            given[field.name] = _plain(value)
    return given


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _given(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
