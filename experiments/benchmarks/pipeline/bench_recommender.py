"""Times the four stages on generated items and untrained weights.

    python -m experiments.benchmarks.pipeline.bench_recommender \
        --num_items=200000 --output=FILE

Recall by two towers (exact search of all items, or --num_probes), a table of
neighbours and popular items; coarse ranking, JDRanker in this process, DPP.
Prints milliseconds by stage, on the wall and of all cores together: on a busy
machine only the latter tell anything.
"""

import time
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program

_NUM_ITEMS = flags.DEFINE_integer(
    "num_items", 200_000, "Items of the catalogue.", lower_bound=2_000
)
_NUM_REQUESTS = flags.DEFINE_integer(
    "num_requests", 100, "Requests that are timed.", lower_bound=2
)
_NUM_PROBES = flags.DEFINE_integer(
    "num_probes",
    0,
    "Lists of an approximate index of the two towers that are looked at (needs "
    "the extra `approximate`); 0: exact search.",
    lower_bound=0,
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_SECONDS = 30.0
_EVENTS = 50
# Items asked of each channel.
_RECALLED = 500


def main(_: object) -> None:
    """Builds, times, prints."""
    import numpy as np

    from jd_tf.data.files import write_json

    recommender, schema, ids, retrievers = _recommender(
        _NUM_ITEMS.value, _NUM_PROBES.value
    )
    rng = np.random.default_rng(2)
    requests = [
        _request(schema, ids, rng) for _ in range(_NUM_REQUESTS.value + 5)
    ]
    for request in requests[:5]:
        recommender.warm_up(request)
    processor, wall = [], []
    for request in requests[5:]:
        began, cpu = time.perf_counter(), time.process_time()
        answer = recommender.recommend(request)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - cpu)
        assert not answer.degraded, answer.trace
    stats: dict[str, Any] = recommender.stats()
    report = {
        "num_items": len(ids),
        "num_probes": _NUM_PROBES.value,
        "recall_of_exact": _recall_of_exact(retrievers, schema, requests),
        "requests": len(wall),
        "wall_p50_ms": 1000 * float(np.median(wall)),
        "wall_p99_ms": 1000 * float(np.percentile(wall, 99)),
        "processor_p50_ms": 1000 * float(np.median(processor)),
        "stages": {n: s for n, s in stats.items() if n != "running"},
    }
    for name, found in report["stages"].items():
        print(f"{name:8} wall p50 {found['p50_ms']:8.2f} ms")
    print(
        f"{len(ids):,} items: wall p50 {report['wall_p50_ms']:.1f} ms, p99 "
        f"{report['wall_p99_ms']:.1f} ms; processor time p50 "
        f"{report['processor_p50_ms']:.1f} ms a request"
    )
    if _NUM_PROBES.value:
        print(
            f"{_NUM_PROBES.value} lists: {report['recall_of_exact']:.4f} of "
            f"the exact first {_RECALLED}"
        )
    if _OUTPUT.value:
        write_json(Path(_OUTPUT.value), report)


def _recall_of_exact(retrievers: Any, schema: Any, requests: list) -> float:
    """Returns the share of the exact search's items that the other finds."""
    import numpy as np

    from jd_tf.pipeline.two_tower_channel import TwoTowerChannel

    exact, other = (TwoTowerChannel(retriever) for retriever in retrievers)
    shares = []
    for request in requests:
        batch = {name: np.asarray(part)[None] for name, part in request.items()}
        for behavior in schema.behaviors:
            batch[behavior.length] = np.array([behavior.max_length], np.int32)
        one, two = (r.recall(batch, _RECALLED).item_id for r in (exact, other))
        shares.append(np.isin(one, two).mean())
    return float(np.mean(shares))


def _recommender(num_items: int, num_probes: int) -> tuple[Any, Any, Any, Any]:
    """Returns a recommender of generated items, its schema and their ids.

    And the exact retriever with the one that is used.
    """
    import numpy as np
    import scipy.sparse

    from jd_tf.models.ranking.jd_ranker import JDRanker
    from jd_tf.models.retrieval.coarse_tower import CoarseTower
    from jd_tf.models.retrieval.two_tower import TwoTower
    from jd_tf.pipeline.approximate_retriever import ApproximateRetriever
    from jd_tf.pipeline.catalogue import Catalogue
    from jd_tf.pipeline.export.retrieval_export import ServedRetriever
    from jd_tf.pipeline.recall.common_list import CommonList
    from jd_tf.pipeline.recall.neighbor_table import NeighborTable
    from jd_tf.pipeline.recall.neighbors import Neighbors
    from jd_tf.pipeline.recommender import Recommender, Step
    from jd_tf.pipeline.stages.coarse_stage import CoarseStage
    from jd_tf.pipeline.stages.fine_stage import FineStage
    from jd_tf.pipeline.stages.live_transport import LiveTransport
    from jd_tf.pipeline.stages.recall_stage import RecallStage
    from jd_tf.pipeline.stages.rerank_stage import RerankStage
    from jd_tf.pipeline.stages.stage_threads import StageThreads
    from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
    from jd_tf.serving.client import ClientOptions, RankingClient

    rng, schema = np.random.default_rng(1), _schema(num_items)
    ids = np.arange(1, num_items + 1)
    catalogue = Catalogue(
        {
            "item_id": ids,
            "category_id": rng.integers(1, 500, num_items),
            "brand_id": rng.integers(1, 5_000, num_items),
            "shop_id": rng.integers(1, 20_000, num_items),
            "item_dense": rng.gamma(1, 1, (num_items, 3)).astype("float32"),
        }
    )
    starts = np.arange(num_items + 1) * 100
    places = rng.integers(0, num_items, starts[-1])
    weights = rng.random(starts[-1]).astype("float32")
    table = scipy.sparse.csr_matrix(
        (weights, places, starts), (num_items, num_items)
    )
    exact = used = _traced(
        ServedRetriever(TwoTower(schema), catalogue, _RECALLED)
    )
    if num_probes:
        used = ApproximateRetriever(
            exact, catalogue, _RECALLED, num_probes=num_probes
        )
    channels = [
        TwoTowerChannel(used),
        Neighbors("swing", NeighborTable(ids, ids, table), {"click": 1.0}),
        CommonList("popular", ids, rng.random(num_items)),
    ]
    threads = StageThreads()
    client = RankingClient(
        LiveTransport(JDRanker(schema)),
        schema,
        ClientOptions(slice_size=512, timeout=_SECONDS),
    )
    steps = [
        Step(CoarseStage(CoarseTower(schema), catalogue), 300, _SECONDS),
        Step(FineStage(client, catalogue), 100, _SECONDS),
        Step(RerankStage(catalogue), 20, _SECONDS),
    ]
    recall = RecallStage(channels, catalogue, threads, 1000, _RECALLED)
    return (
        Recommender(
            schema, recall, steps, ids[:100], threads, _SECONDS, 5 * _SECONDS
        ),
        schema,
        ids,
        (exact, used),
    )


def _traced(retriever: Any) -> Any:
    """Returns a retriever whose signatures are traced."""

    class Traced:
        signatures = retriever.signatures
        functions = retriever.functions()

        def call(self, signature: str, inputs: Any) -> Any:
            import tensorflow as tf

            tensors = {name: tf.constant(a) for name, a in inputs.items()}
            answer = self.functions[signature](**tensors)
            return {name: tensor.numpy() for name, tensor in answer.items()}

    return Traced()


def _schema(num_items: int) -> Any:
    from jd_tf.schema import Behavior, IdColumn, Objective, Schema

    return Schema(
        name="generated",
        item_columns=(
            IdColumn("item_id", num_buckets=num_items),
            IdColumn("category_id", num_buckets=600),
            IdColumn("brand_id", num_buckets=6_000),
            IdColumn("shop_id", num_buckets=25_000),
        ),
        behaviors=(
            Behavior("click", max_length=_EVENTS),
            Behavior("order", max_length=20),
        ),
        objectives=(Objective("click"), Objective("order", value=20.0)),
        max_candidates=512,
        item_dense=("price", "sales", "age"),
        context_columns=(IdColumn("hour", num_buckets=30),),
    )


def _request(schema: Any, ids: Any, rng: Any) -> dict[str, Any]:
    """Returns a user with full histories."""
    request: dict[str, Any] = {"request_time": 10**6, "hour": 5}
    sizes = {"category_id": 500, "brand_id": 5_000, "shop_id": 20_000}
    for behavior in schema.behaviors:
        count, name = behavior.max_length, behavior.name
        request[f"{name}_item_id"] = rng.choice(ids, count)
        for column, size in sizes.items():
            request[f"{name}_{column}"] = rng.integers(1, size, count)
        ages = rng.integers(60, 9_000, count).cumsum()
        request[f"{name}_event_time"] = 10**6 - ages
    return request


if __name__ == "__main__":
    program.run(main)
