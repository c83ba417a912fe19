"""The files of a recommender, made of a data folder and a ranker."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from jd_tf.data.dataset import read_schema
from jd_tf.data.files import write_whole
from jd_tf.pipeline.catalogue import Catalogue
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

CONFIG_FILE = "recommender.yaml"
SCHEMA_FILE = "schema.json"
CATALOGUE_FILE = "catalogue.npz"
STATISTICS_FILE = "statistics.npz"
_TABLES: dict[str, Callable[[Interactions], Any]] = {
    "swing": swing_table,
    "co_occurrence": co_occurrence_table,
    "ease": ease_table,
}
_MOST_EASE_ITEMS = 20_000


def prepare_recall(data: str | Path, folder: str | Path) -> RecallSettings:
    """Writes schema, catalogue, statistics and tables of neighbours.

    What the data give is in: a table of each kind (EASE of at most 20,000
    items), popular and new items, and those of the shops of past events.

    Args:
        data: folder of request records; the training split is read.
        folder: written to.

    Returns:
        Settings of channels that read these files.

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
    channels = {
        "popular": ChannelSettings("popular", quota=10),
        "new": ChannelSettings("new", quota=10),
    }
    for name, make in _TABLES.items():
        if name == "ease" and len(interactions.item_id) > _MOST_EASE_ITEMS:
            continue
        make(interactions).save(folder / f"{name}.npz")
        channels[name] = ChannelSettings("neighbors", f"{name}.npz")
    for column in ("shop_id", "brand_id", "category_id"):
        if column in catalogue.columns:
            name = f"same_{column.removesuffix('_id')}"
            channels[name] = ChannelSettings("same_value", column=column)
    return RecallSettings(channels)


def write_config(
    folder: str | Path,
    recall: RecallSettings,
    fine: FineSettings | None,
    coarse: CoarseSettings | None = None,
    rerank: RerankSettings | None = None,
    deadline: float = 0.6,
) -> Path:
    """Writes the YAML file of a recommender; returns its path."""
    config = RecommenderConfig(
        SCHEMA_FILE,
        CATALOGUE_FILE,
        STATISTICS_FILE,
        recall,
        coarse,
        fine,
        rerank,
        deadline,
    )
    path = Path(folder) / CONFIG_FILE
    fields = _given(config)
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    write_whole(path, text.encode())
    return path


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
