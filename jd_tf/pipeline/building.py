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
class RecommenderFiles:
    """The file of a recommender, and those of its data.

    Attributes:
        folder: of the file, to which paths are relative.
        config: of the file.
        schema: of requests.
        catalogue: of items.
        statistics: of items.
    """

    folder: Path
    config: RecommenderConfig
    schema: Schema
    catalogue: Catalogue
    statistics: ItemStatistics

    @classmethod
    def read(cls, path: str | Path) -> "RecommenderFiles":
        """Reads the YAML file and those that it names for all stages."""
        folder = Path(path).parent
        config: RecommenderConfig = read_yaml(
            path,
            RecommenderConfig,
            "Make one with `python -m experiments.build_recommender`.",
        )
        return cls(
            folder,
            config,
            Schema.load(folder / config.schema),
            Catalogue.load(folder / config.catalogue),
            ItemStatistics.load(folder / config.statistics),
        )


@dataclasses.dataclass(frozen=True)
class OpenRecommender(RecommenderFiles):
    """A recommender with what it is made of; a context manager.

    Attributes:
        recommender: answers requests.
        resources: closed at the end.
    """

    recommender: Recommender
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
    files = RecommenderFiles.read(path)
    config, catalogue = files.config, files.catalogue
    threads = StageThreads(config.most_running)
    with contextlib.ExitStack() as stack:
        steps: list[tuple[RankingStage, Any]] = []
        if config.coarse:
            coarse = _coarse_stage(config.coarse, files, stack)
            steps.append((coarse, config.coarse))
        if config.fine:
            client = open_client(config.fine, files.folder, files.schema)
            stack.enter_context(client)
            steps.append((FineStage(client, catalogue), config.fine))
        if config.rerank:
            rerank = _rerank_stage(config.rerank, files)
            steps.append((rerank, config.rerank))
        recall = RecallStage(
            open_channels(files),
            catalogue,
            threads,
            config.recall.count,
            config.recall.per_channel,
            config.recall.merge(),
            config.recall.exclude,
        )
        order = np.argsort(-files.statistics.users)
        popular = files.statistics.item_id[order]
        popular = popular[catalogue.rows(popular) >= 0]
        recommender = Recommender(
            files.schema,
            recall,
            [Step(stage, one.count, one.seconds) for stage, one in steps],
            popular[:_MOST_FALLBACK],
            threads,
            config.recall.seconds,
            config.deadline,
        )
        return OpenRecommender(
            **vars(files), recommender=recommender, resources=stack.pop_all()
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
    files: RecommenderFiles,
    stack: contextlib.ExitStack,
) -> RankingStage:
    if settings.folder:
        from jd_tf.pipeline.stages.coarse_stage import CoarseStage

        folder = files.folder / settings.folder
        tower = CoarseStage.load(folder, files.catalogue)
        files.schema.check_same(tower.schema, str(folder))
        return tower
    transport = _transport(settings, files.folder)
    stack.callback(transport.close)
    if transport.schema is not None:
        files.schema.check_same(transport.schema, transport.where)
    return ServedCoarseStage(transport)


def open_channels(files: RecommenderFiles) -> list[RecallChannel]:
    """Opens the channels of a recommender's file.

    Raises:
        DataError: naming the key that is wrong, or the file that is missing.
    """
    settings = files.config.recall
    if not settings.channels:
        raise DataError("`recall.channels`: name at least one channel.")
    known = [behavior.name for behavior in files.schema.behaviors]
    for name in settings.exclude:
        if name not in known:
            raise DataError(
                f"`recall.exclude`: no behaviour `{name}`, only "
                f"{', '.join(known)}."
            )
    return [
        _two_tower(name, one, files)
        if one.kind == "two_tower"
        else _channel(name, one, files)
        for name, one in settings.channels.items()
    ]


def _two_tower(
    name: str, settings: ChannelSettings, files: RecommenderFiles
) -> RecallChannel:
    folder = files.folder / settings.file
    if not settings.num_probes:
        return TwoTowerChannel.load(folder, name)
    retriever = ApproximateRetriever(
        LoadedModel(resolve(folder)),
        files.catalogue,
        files.config.recall.per_channel,
        num_probes=settings.num_probes,
    )
    return TwoTowerChannel(retriever, name)


def _channel(
    name: str, settings: ChannelSettings, files: RecommenderFiles
) -> RecallChannel:
    catalogue, statistics = files.catalogue, files.statistics
    ids = statistics.item_id
    if settings.kind == "popular":
        return CommonList(name, ids, statistics.users)
    if settings.kind == "new":
        return CommonList(name, ids, statistics.first_seen)
    known = {b.name: 1.0 for b in files.schema.behaviors}
    behaviors = settings.behaviors or known
    for behavior in behaviors:
        if behavior not in known:
            raise DataError(
                f"`recall.channels.{name}.behaviors`: no behaviour "
                f"`{behavior}` in the schema."
            )
    if settings.kind == "neighbors":
        table = NeighborTable.load(files.folder / settings.file)
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
    settings: RerankSettings, files: RecommenderFiles
) -> RerankStage:
    catalogue, vectors = files.catalogue, None
    if settings.vectors:
        found = ItemVectors.load(files.folder / settings.vectors)
        vectors = _by_row(found, catalogue)
    names = files.schema.item_dense
    return RerankStage(
        catalogue, settings.rules, settings.items, names, vectors
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
