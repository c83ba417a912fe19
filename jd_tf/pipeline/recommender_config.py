"""Settings of a recommender, as its YAML file has them.

Paths are relative to the folder of the file. What stages do not have to be
there: without `coarse`, the first items of recall go to `fine`, and so on.
"""

import dataclasses

from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.reranking.rerank_config import RerankConfig
from jd_tf.pipeline.stages.rerank_stage import ItemRules
from jd_tf.schema import DataError

CHANNEL_KINDS = ("popular", "new", "neighbors", "same_value", "two_tower")


@dataclasses.dataclass(frozen=True)
class ChannelSettings:
    """One recall channel.

    Attributes:
        kind: `popular` or `new` (items by the statistics), `neighbors` (a
            `NeighborTable` file), `same_value` (popular items of the shop,
            brand or category of past events), or `two_tower` (an index).
        file: of `neighbors`, the table; of `two_tower`, the SavedModel, whose
            answers must have `per_channel` items.
        column: `same_value`: of the catalogue.
        weight: of its items in the merge.
        quota: its first so many items are passed on in any case.
        behaviors: histories that are read -> their weights; all by default.
        num_events: newest events of each that are read.
        num_probes: `two_tower`: lists of an approximate index that are looked
            at (`ApproximateRetriever`); 0: exact search.
    """

    kind: str
    file: str = ""
    column: str = "shop_id"
    weight: float = 1.0
    quota: int = 0
    behaviors: dict[str, float] = dataclasses.field(default_factory=dict)
    num_events: int = 20
    num_probes: int = 0

    def __post_init__(self) -> None:
        if self.kind not in CHANNEL_KINDS:
            raise DataError(
                f"`kind` of a channel must be one of "
                f"{', '.join(CHANNEL_KINDS)}. Got: {self.kind!r}."
            )
        if bool(self.file) != (self.kind in ("neighbors", "two_tower")):
            raise DataError(
                f"a channel of kind `{self.kind}` "
                f"{'has no' if self.file else 'needs a'} `file`."
            )


@dataclasses.dataclass(frozen=True)
class RecallSettings:
    """Recall: channels, and what is passed on.

    Attributes:
        channels: name -> settings.
        count: items that are passed on.
        per_channel: items asked of each channel.
        seconds: channels are waited for.
        exclude: behaviours whose items do not come back.
        by: "rank" or "score": how channels are merged, see `Merge`.
        rank_offset: likewise.
    """

    channels: dict[str, ChannelSettings]
    count: int = 1000
    per_channel: int = 500
    seconds: float = 0.1
    exclude: tuple[str, ...] = ()
    by: str = "rank"
    rank_offset: float = 10.0

    def __post_init__(self) -> None:
        try:
            self.merge()
        except ValueError as error:
            raise DataError(f"`recall`: {error}") from error

    def merge(self) -> Merge:
        """Returns the merge of the channels."""
        return Merge(
            {name: one.weight for name, one in self.channels.items()},
            {name: one.quota for name, one in self.channels.items()},
            self.rank_offset,
            self.by,
        )


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """A model: one of `saved_model`, `grpc`, `rest` and what a stage adds.

    Attributes:
        saved_model: a version folder, or a model's, loaded in process.
        grpc: `host:port` of a model server.
        rest: `http://host:port` of a model server.
        model: its name at the server.
        version: its version there; the latest without.
        label: its label there.
        count: items that are passed on.
        seconds: it is waited for.
    """

    saved_model: str = ""
    grpc: str = ""
    rest: str = ""
    model: str = ""
    version: int | None = None
    label: str | None = None
    count: int = 300
    seconds: float = 0.05

    def check_one(self, stage: str, *more: str) -> None:
        """Raises a DataError unless just one of the ways is named."""
        ways = ("saved_model", "grpc", "rest", *more)
        given = [name for name in ways if getattr(self, name)]
        if len(given) != 1:
            raise DataError(
                f"`{stage}` names one of "
                f"{', '.join(f'`{way}`' for way in ways)}. "
                f"Got: {', '.join(given) or 'none'}."
            )


@dataclasses.dataclass(frozen=True)
class CoarseSettings(ModelSettings):
    """Coarse ranking by a distilled dual tower, where `ModelSettings` say.

    Attributes:
        folder: of `train_coarse`: vectors of items in memory, no server.
    """

    folder: str = ""
    model: str = "coarse_tower"

    def __post_init__(self) -> None:
        self.check_one("coarse", "folder")


@dataclasses.dataclass(frozen=True)
class FineSettings(ModelSettings):
    """Fine ranking, where `ModelSettings` say.

    Attributes:
        run: the work folder of a training, whose model is live.
        slice_size: candidates a call; more are ranked side by side.
    """

    run: str = ""
    model: str = "jd_ranker"
    count: int = 100
    seconds: float = 0.3
    slice_size: int = 512

    def __post_init__(self) -> None:
        self.check_one("fine", "run")


@dataclasses.dataclass(frozen=True)
class RerankSettings:
    """Re-ranking.

    Attributes:
        rules: of places.
        items: the columns that they read.
        vectors: `.npz` of `ItemVectors` for likeness; "": by equal ids.
        count: items that are shown.
        seconds: it is waited for.
    """

    rules: RerankConfig = dataclasses.field(default_factory=RerankConfig)
    items: ItemRules = dataclasses.field(default_factory=ItemRules)
    vectors: str = ""
    count: int = 20
    seconds: float = 0.05


@dataclasses.dataclass(frozen=True)
class RecommenderConfig:
    """A whole recommender.

    Attributes:
        schema: file of the schema of requests.
        catalogue: file of `Catalogue.save`.
        statistics: file of `ItemStatistics.save`; `popular`, `new` and
            `same_value` channels and the fallback list are made of it.
        recall: the channels.
        coarse: None: no such stage.
        fine: likewise.
        rerank: likewise.
        deadline: seconds for an answer; at least those of all stages together.
        most_running: calls of a stage at once, those that hang included.
    """

    schema: str
    catalogue: str
    statistics: str
    recall: RecallSettings
    coarse: CoarseSettings | None = None
    fine: FineSettings | None = None
    rerank: RerankSettings | None = None
    deadline: float = 0.6
    most_running: int = 32
