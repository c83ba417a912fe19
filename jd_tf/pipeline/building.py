"""A recommender from its YAML file."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.data.tables.config_reading import read_yaml
from jd_tf.pipeline.approximate_retriever import ApproximateRetriever
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_statistics import ItemStatistics
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.recall.common_list import CommonList
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.neighbors import Neighbors, same_value_table
from jd_tf.pipeline.recommender import Recommender, Step
from jd_tf.pipeline.recommender_config import (
    ChannelSettings,
    CoarseSettings,
    FineSettings,
    ModelSettings,
    RecallSettings,
    RecommenderConfig,
    RerankSettings,
)
from jd_tf.pipeline.stages.fine_stage import FineStage
from jd_tf.pipeline.stages.recall_stage import RecallStage
from jd_tf.pipeline.stages.rerank_stage import RerankStage
from jd_tf.pipeline.stages.served_coarse_stage import ServedCoarseStage
from jd_tf.pipeline.stages.stage import RankingStage
from jd_tf.pipeline.stages.stage_threads import StageThreads
from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
from jd_tf.schema import DataError, Schema
from jd_tf.serving.client import (
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RestTransport,
    SavedModelTransport,
)
from jd_tf.serving.client.transport import Transport
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.versions import resolve

_MOST_FALLBACK = 1000


@dataclasses.dataclass(frozen=True)
class OpenRecommender:
    """A recommender with what it is made of; a context manager.

    Attributes:
        recommender: answers requests.
        config: of its file.
        schema: of requests.
        catalogue: of items.
        statistics: of items.
        resources: closed at the end.
    """

    recommender: Recommender
    config: RecommenderConfig
    schema: Schema
    catalogue: Catalogue
    statistics: ItemStatistics
    resources: contextlib.ExitStack

    def __enter__(self) -> "OpenRecommender":
        return self

    def __exit__(self, *_: object) -> None:
        self.resources.close()


def open_recommender(path: str | Path) -> OpenRecommender:
    """Opens the recommender of a YAML file.

    Raises:
        DataError: naming the file, the key and the value that is wrong, or
            the file that is missing.
    """
    path = Path(path)
    config = read_recommender_config(path)
    folder = path.parent
    schema = Schema.load(folder / config.schema)
    catalogue = Catalogue.load(folder / config.catalogue)
    statistics = ItemStatistics.load(folder / config.statistics)
    threads = StageThreads(config.most_running)
    with contextlib.ExitStack() as stack:
        steps = []
        if config.coarse:
            stage = _coarse_stage(
                config.coarse, folder, schema, catalogue, stack
            )
            steps.append(
                Step(stage, config.coarse.count, config.coarse.seconds)
            )
        if config.fine:
            client = open_client(config.fine, folder, schema)
            stack.enter_context(client)
            fine = FineStage(client, catalogue)
            steps.append(Step(fine, config.fine.count, config.fine.seconds))
        if config.rerank:
            steps.append(
                Step(
                    _rerank_stage(config.rerank, folder, schema, catalogue),
                    config.rerank.count,
                    config.rerank.seconds,
                )
            )
        recall = _recall_stage(
            config.recall, folder, schema, catalogue, statistics, threads
        )
        popular = statistics.item_id[np.argsort(-statistics.users)]
        popular = popular[catalogue.rows(popular) >= 0]
        recommender = Recommender(
            schema,
            recall,
            steps,
            popular[:_MOST_FALLBACK],
            threads,
            config.recall.seconds,
            config.deadline,
        )
        return OpenRecommender(
            recommender,
            config,
            schema,
            catalogue,
            statistics,
            stack.pop_all(),
        )


def read_recommender_config(path: str | Path) -> RecommenderConfig:
    """Reads the YAML file of a recommender; errors as of `open_recommender`."""
    return read_yaml(
        path,
        RecommenderConfig,
        "Make one with `python -m experiments.build_recommender`.",
    )


def open_client(
    settings: FineSettings, folder: Path, schema: Schema
) -> RankingClient:
    """Opens the client of the fine ranker, wherever that runs."""
    # More candidates than a training request shows: shapes do not name N.
    schema = dataclasses.replace(schema, max_candidates=settings.slice_size)
    options = ClientOptions(
        timeout=settings.seconds, slice_size=settings.slice_size
    )
    return RankingClient(_transport(settings, folder), schema, options)


def _transport(settings: ModelSettings, folder: Path) -> Transport:
    choice = ModelChoice(settings.model, settings.version, settings.label)
    if settings.grpc:
        return GrpcTransport(settings.grpc, choice)
    if settings.rest:
        return RestTransport(settings.rest, choice)
    if settings.saved_model:
        return SavedModelTransport(folder / settings.saved_model)
    from jd_tf.pipeline.stages.live_transport import LiveTransport
    from jd_tf.training.workdir import load_trained

    assert isinstance(settings, FineSettings)
    run = folder / settings.run
    return LiveTransport(load_trained(run), str(run))


def _coarse_stage(
    settings: CoarseSettings,
    folder: Path,
    schema: Schema,
    catalogue: Catalogue,
    stack: contextlib.ExitStack,
) -> RankingStage:
    if settings.folder:
        from jd_tf.pipeline.stages.coarse_stage import CoarseStage

        tower = CoarseStage.load(folder / settings.folder, catalogue)
        schema.check_same(tower.schema, str(folder / settings.folder))
        return tower
    transport = _transport(settings, folder)
    stack.callback(transport.close)
    if transport.schema is not None:
        schema.check_same(transport.schema, transport.where)
    return ServedCoarseStage(transport)


def _recall_stage(
    settings: RecallSettings,
    folder: Path,
    schema: Schema,
    catalogue: Catalogue,
    statistics: ItemStatistics,
    threads: StageThreads,
) -> RecallStage:
    return RecallStage(
        open_channels(settings, folder, schema, catalogue, statistics),
        catalogue,
        threads,
        settings.count,
        settings.per_channel,
        settings.merge(),
        settings.exclude,
    )


def open_channels(
    settings: RecallSettings,
    folder: Path,
    schema: Schema,
    catalogue: Catalogue,
    statistics: ItemStatistics,
) -> list[RecallChannel]:
    """Opens the channels of a recommender's file.

    Args:
        settings: of the channels.
        folder: of the file.
        schema: of requests.
        catalogue: of items.
        statistics: of items.

    Raises:
        DataError: naming the key that is wrong, or the file that is missing.
    """
    if not settings.channels:
        raise DataError("`recall.channels`: name at least one channel.")
    known = [behavior.name for behavior in schema.behaviors]
    for name in settings.exclude:
        if name not in known:
            raise DataError(
                f"`recall.exclude`: no behaviour `{name}`, only "
                f"{', '.join(known)}."
            )
    return [
        _two_tower(name, one, folder, catalogue, settings.per_channel)
        if one.kind == "two_tower"
        else _channel(name, one, folder, schema, catalogue, statistics)
        for name, one in settings.channels.items()
    ]


def _two_tower(
    name: str,
    settings: ChannelSettings,
    folder: Path,
    catalogue: Catalogue,
    count: int,
) -> RecallChannel:
    if not settings.num_probes:
        return TwoTowerChannel.load(folder / settings.file, name)
    model = LoadedModel(resolve(folder / settings.file))
    return TwoTowerChannel(
        ApproximateRetriever(
            model, catalogue, count, num_probes=settings.num_probes
        ),
        name,
    )


def _channel(
    name: str,
    settings: ChannelSettings,
    folder: Path,
    schema: Schema,
    catalogue: Catalogue,
    statistics: ItemStatistics,
) -> RecallChannel:
    ids = statistics.item_id
    if settings.kind == "popular":
        return CommonList(name, ids, statistics.users)
    if settings.kind == "new":
        return CommonList(name, ids, statistics.first_seen)
    behaviors = settings.behaviors or {b.name: 1.0 for b in schema.behaviors}
    for behavior in behaviors:
        if behavior not in {b.name for b in schema.behaviors}:
            raise DataError(
                f"`recall.channels.{name}.behaviors`: no behaviour "
                f"`{behavior}` in the schema."
            )
    if settings.kind == "neighbors":
        table = NeighborTable.load(folder / settings.file)
        return Neighbors(name, table, behaviors, num_events=settings.num_events)
    column = catalogue.columns.get(settings.column)
    if column is None:
        raise DataError(
            f"`recall.channels.{name}.column`: the catalogue has no "
            f"`{settings.column}`, only {', '.join(catalogue.columns)}."
        )
    rows = catalogue.rows(ids)
    users = np.zeros(len(catalogue))
    users[rows[rows >= 0]] = statistics.users[rows >= 0]
    table = same_value_table(column, catalogue.item_id, users + 0.5)
    return Neighbors(
        name, table, behaviors, settings.column, settings.num_events
    )


def _rerank_stage(
    settings: RerankSettings, folder: Path, schema: Schema, catalogue: Catalogue
) -> RerankStage:
    vectors = None
    if settings.vectors:
        found = ItemVectors.load(folder / settings.vectors)
        vectors = _by_row(found, catalogue)
    return RerankStage(
        catalogue,
        settings.rules,
        settings.items,
        schema.item_dense,
        vectors,
    )


def _by_row(found: ItemVectors, catalogue: Catalogue) -> np.ndarray:
    """Returns (I, V) vectors in the order of the catalogue, 0 where none."""
    ids: Any = found.item_ids
    if ids.dtype.kind == "U":
        ids = np.array([text.encode() for text in ids.tolist()], object)
    vectors = np.zeros((len(catalogue), found.width), np.float32)
    rows = catalogue.rows(ids)
    vectors[rows[rows >= 0]] = found.vectors[rows >= 0]
    return vectors
