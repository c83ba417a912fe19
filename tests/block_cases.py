"""Every block of `jd_tf.models`: cases like those of `tests.cases`."""

import numpy as np

from jd_tf.models.blocks.behavior_reader import BehaviorReader
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.match_reader import MatchReader
from jd_tf.models.blocks.pair_reader import PairReader
from jd_tf.models.blocks.score_head import ScoreHead
from jd_tf.models.blocks.session_features import SessionFeatures
from jd_tf.models.blocks.tree_numbers import TreeNumbers
from jd_tf.schema import Behavior, IdColumn
from tests import case_inputs
from tests.case_inputs import CANDIDATES, EVENTS, LENGTHS, REQUESTS, WIDTH
from tests.cases import make_case
from tests.timeline_cases import TIMELINE_CASES

ITEM = IdColumn("item_id", num_buckets=20)
CATEGORY = IdColumn("category_id", vocabulary=(1, 2, 3))
BRAND = IdColumn("brand", dtype="string", num_buckets=9)
TITLE = IdColumn("title", dtype="string", num_buckets=30, text=True)
CLICK = Behavior(
    "click",
    max_length=EVENTS,
    dwell=True,
    action_counters=("image_clicks", "comment_reads"),
    action_slots=("entry", "module", "exit"),
    num_action_ids=5,
)
ORDER = Behavior("order", max_length=EVENTS)


def _contents(rng, count):
    """Vectors of pictures and titles, and which of `count` have one."""
    return tuple(
        (
            case_inputs.normal(rng, REQUESTS, count, dim),
            rng.random((REQUESTS, count)) < 0.8,
        )
        for dim in (5, 4)
    )


def _matched(rng):
    rows = rng.integers(0, 6, (REQUESTS, EVENTS + CANDIDATES, 2), np.int32)
    return {
        "length": LENGTHS,
        "rows": rows[:, :EVENTS],
        "candidate_rows": rows[:, EVENTS:],
        "content_embeddings": _contents(rng, EVENTS),
        "candidate_contents": _contents(rng, CANDIDATES),
        "since_seconds": np.float32([9000, 0, 3e6, -1]),
    }


def _weighed(rng):
    of_event = case_inputs.weighted(rng)
    of_event["details"] = of_event.pop("event_features")
    # Within the time constants that the weights start with.
    of_event["age_seconds"] /= 1000
    return {**of_event, **_matched(rng)}


def _paired(rng):
    given = case_inputs.paired(rng)
    events, candidates = given["history_ids"], given["candidate_ids"]
    words = np.array(["", "red", "blue"], object)
    return {
        "histories": {
            "click_item_id": events,
            "click_brand": words[rng.integers(0, 3, events.shape)],
            "click_length": LENGTHS,
        },
        "candidates": {
            "item_id": candidates,
            "brand": words[rng.integers(0, 3, candidates.shape)],
        },
        "event_weights": {"click": given["event_weights"]},
    }


def _read(rng):
    events = case_inputs.events(rng)
    events["age_seconds"] = case_inputs.aged(rng)["age_seconds"]
    return {
        "tokens": events.pop("inputs"),
        "events": events,
        "candidates": case_inputs.normal(rng, REQUESTS, CANDIDATES, WIDTH),
        **_matched(rng),
    }


def _read_dense(rng):
    given = _read_plainly(rng)
    numbers = case_inputs.normal(rng, REQUESTS, EVENTS + CANDIDATES, 3)
    given["events"]["item_dense"] = numbers[:, :EVENTS]
    return {**given, "candidate_dense": numbers[:, EVENTS:]}


def _read_plainly(rng):
    given = _read(rng)
    del given["content_embeddings"], given["candidate_contents"]
    return {**given, "events": {"age_seconds": given["events"]["age_seconds"]}}


def _items(rng):
    titles = case_inputs.titles(rng)["texts"]
    shape = titles.shape
    ids = rng.integers(0, 9, shape)
    brands = np.array(["", "red", "blue"], object)
    categories, marks = (rng.integers(0, most, shape) for most in (5, 3))
    return {"columns": (ids, categories, brands[marks], titles)}


def _tagged(rng):
    ids = _items(rng)["columns"][:1]
    shape = ids[0].shape
    words = np.array(["", "b", "c", "a", *["d"] * 17], object)
    values = words[case_inputs.several(rng, *shape, 2)]
    return {"columns": (*ids, case_inputs.several(rng, *shape, 4), values)}


def _ids_alone(rng):
    return {"columns": _items(rng)["columns"][:2]}


def _context(rng):
    return {
        "ids": (
            np.array([1, 2, 3, 9]),
            np.array(["red", "", "blue", "new"], object),
        ),
        "session_dense": case_inputs.numeric(rng)["inputs"][:, 0],
        "since_seconds": np.float32([[0, -1], [90, 7], [3e6, 1e9], [-1, -1]]),
    }


def _session(rng):
    events = case_inputs.events(rng)
    times = -case_inputs.aged(rng)["age_seconds"].astype(np.int64)
    return {
        "histories": {
            "click_event_time": times,
            "click_dwell_seconds": events["dwell_seconds"],
            "click_action_counts": np.maximum(events["action_counts"], 0),
            "click_length": LENGTHS,
            "order_event_time": times,
            "order_length": LENGTHS[::-1].copy(),
        },
        "states": tuple(
            {
                "interest": case_inputs.normal(rng, REQUESTS, WIDTH),
                "values": case_inputs.normal(rng, REQUESTS, 2, EVENTS, 4),
            }
            for _ in range(2)
        ),
        "context": case_inputs.normal(rng, REQUESTS, 5),
        "since_seconds": np.float32([[0, 9e3], [9e3, 60], [1, 2], [-1, 3]]),
    }


def _valued(rng):
    values = rng.uniform(1, 9, (REQUESTS, 4)).astype("float32")
    return {"logits": case_inputs.fused(rng)["logits"], "values": values}


def _fill(encoder):
    vectors = case_inputs.normal(np.random.default_rng(3), 4, 5)
    encoder.images.assign([1, 2, 5, 8], vectors)


_MATCHED = {
    "history": ("rows", "content_embeddings"),
    "candidates": ("candidate_rows", "candidate_contents"),
}
_READ = {
    "history": ("tokens", "events", *_MATCHED["history"]),
    "candidates": ("candidates", *_MATCHED["candidates"]),
}
_SIZES = {"num_id_columns": 2, "model_dim": WIDTH, "num_heads": 2}
_HEAD = {"given": (-1, 0, 1, -1), "values": (1.0, 2.0, 9.0, 3.0)}


BLOCK_CASES = (
    *TIMELINE_CASES,
    make_case(
        "item_encoder",
        ItemEncoder,
        _items,
        [ITEM, CATEGORY, BRAND, TITLE],
        num_behaviors=1,
        model_dim=WIDTH,
        use_images="transfer",
        num_image_rows=6,
        image_dim=5,
        title_embedding_dim=4,
        num_transfer_experts=2,
        transfer_dim=3,
        candidates=("columns",),
        prepare=_fill,
    ),
    make_case(
        "item_encoder_of_contents_as_they_are",
        ItemEncoder,
        _items,
        [ITEM, CATEGORY, BRAND, TITLE],
        num_behaviors=2,
        model_dim=WIDTH,
        use_images="concat",
        num_image_rows=6,
        image_dim=5,
        title_embedding_dim=4,
        candidates=("columns",),
        prepare=_fill,
    ),
    make_case(
        "item_encoder_of_ids",
        ItemEncoder,
        _ids_alone,
        [ITEM, CATEGORY],
        num_behaviors=1,
        model_dim=WIDTH,
        candidates=("columns",),
    ),
    make_case(
        "item_encoder_of_several_values",
        ItemEncoder,
        _tagged,
        [
            ITEM,
            IdColumn("tag", num_buckets=9, max_values=4),
            IdColumn(
                "kind",
                dtype="string",
                vocabulary=("b", "c"),
                max_values=2,
                pooling="sum",
            ),
        ],
        num_behaviors=1,
        model_dim=WIDTH,
        candidates=("columns",),
    ),
    make_case(
        "behavior_reader",
        BehaviorReader,
        _read,
        CLICK,
        feedforward_dim=12,
        decoder_feedforward_dim=10,
        content_dims=(5, 4),
        content_match_dim=6,
        **_SIZES,
        **_READ,
    ),
    make_case(
        "behavior_reader_of_time_alone",
        BehaviorReader,
        _read_plainly,
        ORDER,
        feedforward_dim=12,
        use_position=False,
        history=("tokens", "events", "rows"),
        candidates=("candidates", "candidate_rows"),
        **_SIZES,
    ),
    make_case(
        "behavior_reader_that_only_compares",
        BehaviorReader,
        _read,
        CLICK,
        use_sequence=False,
        content_dims=(5, 4),
        content_match_dim=6,
        **_SIZES,
        **_READ,
    ),
    make_case(
        "behavior_reader_of_dense_features",
        BehaviorReader,
        _read_dense,
        Behavior("order", EVENTS, item_dense=("price", "stock", "rating")),
        feedforward_dim=12,
        history=("tokens", "events", "rows"),
        candidates=("candidates", "candidate_rows", "candidate_dense"),
        **_SIZES,
    ),
    make_case(
        "match_reader",
        MatchReader,
        _weighed,
        num_id_columns=2,
        num_numeric=2,
        content_dims=(5, 4),
        content_match_dim=6,
        num_heads=2,
        history=(
            "details",
            "age_seconds",
            "numeric_features",
            *_MATCHED["history"],
        ),
        candidates=_MATCHED["candidates"],
    ),
    make_case(
        "match_reader_without_weights",
        MatchReader,
        _weighed,
        num_id_columns=1,
        max_values=(2,),
        use_position=False,
        num_event_weights=0,
        content_dims=(5, 4),
        **_MATCHED,
    ),
    make_case(
        "pair_reader",
        PairReader,
        _paired,
        {"item_id": "int64", "brand": "string"},
        ["click:click", "click:order"],
        num_objectives=3,
        num_rows=[7, 2],
        num_pairs=[40, 9],
        num_events=5,
        num_weights={"click": 2},
        prepare=case_inputs.fill_reader,
    ),
    make_case(
        "tree_numbers",
        TreeNumbers,
        case_inputs.tree_numbers,
        {"category_id": "int64"},
        {"city": "int64"},
        ["click"],
        prepare=case_inputs.fill_ranks,
    ),
    make_case(
        "context_encoder",
        ContextEncoder,
        _context,
        [CATEGORY, BRAND],
        embedding_dim=4,
        num_dense=5,
        num_histories=2,
        linear=(1,),
        prepare=lambda encoder: case_inputs.adapt(encoder.normalization),
    ),
    make_case(
        "session_features",
        SessionFeatures,
        _session,
        [CLICK, ORDER],
        interest_dim=WIDTH,
        context_dim=5,
        num_dense=2,
        session_seconds=3600.0,
    ),
    make_case(
        "session_features_of_counts",
        SessionFeatures,
        _session,
        [CLICK, ORDER],
        interest_dim=0,
        context_dim=5,
        num_dense=2,
        session_seconds=3600.0,
    ),
    make_case("score_of_values", ScoreHead, _valued, **_HEAD),
    make_case(
        "score_of_session",
        ScoreHead,
        case_inputs.fused,
        calibrate=True,
        kind="personalized",
        units=(6,),
        prepare=lambda head: case_inputs.bend(head.calibration),
        **_HEAD,
    ),
    make_case(
        "score_of_fixed_weights",
        ScoreHead,
        case_inputs.fused,
        kind="fixed",
        form="additive",
        fusion_weights=(4.0, 3.0, 2.0, 1.0),
        **_HEAD,
    ),
)
