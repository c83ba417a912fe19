"""Benchmarks of recall on made-up logs, and the program that makes tables."""

import gzip
import itertools
import json

import keras
import numpy as np
import pytest

from experiments.benchmarks.recall.bench_tables import generated_events
from experiments.benchmarks.recall.recall_channels import check_channels
from experiments.benchmarks.recall.recall_judging import (
    MERGE,
    Requests,
    only_of,
    request_metrics,
)
from experiments.benchmarks.recall.retailrocket_recall import (
    judge_weeks,
    read_events,
    week_requests,
)
from experiments.benchmarks.recall.sequences_recall import (
    CHAIN,
    RANKER,
    add_ranker,
    judge_dataset,
    sequence_data,
    sequence_requests,
)
from jd_tf.data.batches import numpy_batches
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.models.registry import build_model
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.schema import DataError
from jd_tf.serving.export import exporting
from jd_tf.serving.export.verification.verify import verify
from tests.data.item_pairs.pair_logs import random_log, write_log
from tests.data.sources.timeline_files import timelines, write_timelines
from tests.experiments.programs import (
    assert_help_is_light,
    error_line,
    run_program,
)
from tests.pipeline.recall.small_interactions import random_interactions

# Benchmarks change seldom and measure for long.
pytestmark = pytest.mark.slow

CHANNELS = ["popular", "popular_in_attribute", "item_knn", "item_pairs"]
DAY = 86400


def test_a_data_set_is_judged_by_the_last_items_of_users(tmp_path):
    users = timelines()
    write_timelines(tmp_path / "logs", users)
    output = tmp_path / "runs" / "Tiny"
    text = judge_dataset(tmp_path / "logs", "Tiny", output, CHANNELS)
    assert "without" in text
    result = json.loads((output / "result.json").read_text())
    assert {*CHANNELS, MERGE} <= set(result["test"])
    # Popular items of training that the user has not had, by a loop.
    source = SequencesSource(tmp_path / "logs", dataset="Tiny")
    counts = {item: 0 for item in source.items.tolist()}
    for item in source.training_events.tolist():
        counts[item] += 1
    order = sorted((i for i in counts if counts[i]), key=lambda i: -counts[i])
    for split, last in (("validation", 2), ("test", 1)):
        hits = []
        for items in users.values():
            seen = set(items[:-last])
            listed = [i for i in order if i not in seen][:10]
            hits.append(items[-last] in listed)
        means = result[split]["popular"]["means"]
        assert means["HR@10"] == pytest.approx(np.mean(hits))
        low, high = result[split]["popular"]["merge_minus"]["HR@10"][1:]
        assert low <= high
    assert check_channels(CHANNELS) is None
    with pytest.raises(DataError, match=r"no channel `x`, only popular"):
        check_channels(["x"])


def test_a_ranker_orders_what_the_merge_brings(tmp_path):
    write_timelines(tmp_path, timelines())
    source, data = sequence_data(tmp_path, "Tiny", tmp_path / "Tiny")
    keras.utils.set_random_seed(3)
    model = build_model("pooled_mmoe", source.schema)
    splits = {
        split: sequence_requests(source, data, split)
        for split in ("validation", "test")
    }
    generator = np.random.default_rng(1)
    systems = {}
    for split, requests in splits.items():
        score = generator.random((len(requests), len(source.items)))
        score[score < 0.3] = -np.inf
        merged = ItemLists.best(source.items, score, 30)
        systems[split] = {MERGE: merged}
    drawn = np.arange(len(splits["validation"]))
    add_ranker(model, source, splits, systems, drawn)
    found, merged = systems["test"][RANKER], systems["test"][MERGE]
    assert CHAIN in systems["test"]
    for row in range(0, len(found), 7):
        items = merged.item_id[row, : merged.length[row]]
        one = splits["test"].some([row]).columns
        at = np.searchsorted(source.items, items)
        batch = {
            **one,
            **{n: c[at][None] for n, c in source.catalogue.items()},
            "num_candidates": np.array([len(items)], np.int32),
        }
        scores = model(batch, training=False)["score"].numpy()[0]
        listed = found.item_id[row, : found.length[row]]
        assert sorted(listed) == sorted(items)
        places = [items.tolist().index(item) for item in listed]
        assert (np.diff(scores[places]) <= 1e-6).all()


def write_events(path, generator, days=60, own_items=6):
    """Users who often come back to their items; a header and gzip."""
    rows = ["user_id,item_id,behavior,ts"]
    for user in range(25):
        mine = generator.integers(0, 30, own_items)
        times = np.sort(generator.integers(0, days * DAY, 30))
        for time in times.tolist():
            item = generator.choice(mine)
            rows.append(f"{user},{item},view,{time}")
    path.write_bytes(gzip.compress("\n".join(rows).encode() + b"\n"))


def test_weeks_are_judged_from_what_was_before_each_event(tmp_path):
    path = tmp_path / "events.csv.gz"
    write_events(path, np.random.default_rng(0))
    events = read_events(path)
    start = 40 * DAY
    requests = week_requests(events, start, start + 7 * DAY)
    expected = []
    for user, part in events.groupby("user_id"):
        items, times = part["item_id"].tolist(), part["ts"].tolist()
        assert all(a != b for a, b in itertools.pairwise(items))
        for place in range(1, len(items)):
            if start <= times[place] < start + 7 * DAY:
                before = items[:place][::-1]
                expected.append(
                    (user, items[place], before, items[place] in before)
                )
    got = [
        (
            requests.user[row],
            requests.wanted[row, 0],
            requests.columns["click_item_id"][row, :length].tolist(),
            requests.repeated[row, 0],
        )
        for row, length in enumerate(requests.columns["click_length"])
    ]
    assert got == expected
    newest = requests.columns["click_item_id"][:, :1]
    np.testing.assert_array_equal(requests.excluded, newest)
    novel = week_requests(events, start, start + 7 * DAY, novel=True)
    assert len(novel) == sum(not repeated for *_, repeated in expected)
    assert not (novel.excluded == novel.wanted).any()
    text = judge_weeks(
        tmp_path, tmp_path / "runs", 2, ["popular", "own_history", "item_pairs"]
    )
    result = json.loads((tmp_path / "runs" / "result.json").read_text())
    assert len(result["requests"]) == 2
    assert f"{sum(result['requests']):,} requests" in text
    own = result["test"]["own_history"]["means"]
    assert own["repeat_recall@100"] == 1
    assert own["novel_recall@100"] == 0
    with pytest.raises(DataError, match=r"no events before week 0.*--weeks"):
        judge_weeks(tmp_path, tmp_path / "other", 12, ["popular"])
    with pytest.raises(DataError, match=r"none/events\.csv\.gz"):
        judge_weeks(tmp_path / "none", tmp_path / "other", 2, ["popular"])


def test_two_towers_of_a_week_know_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "verify_elsewhere", verify)
    path = tmp_path / "events.csv.gz"
    write_events(path, np.random.default_rng(0), own_items=40)
    events = read_events(path)
    end = int(events["ts"].max()) + 1
    runs = tmp_path / "runs"
    arguments = (tmp_path, runs, 1, ["popular", "two_tower"], True, 2)
    assert "two_tower" in judge_weeks(*arguments)
    result = json.loads((runs / "result_novel.json").read_text())
    assert 1 <= result["two_tower_epochs"] <= 2
    assert 0 < result["test"]["two_tower"]["means"]["recall@100"] <= 1
    for week, start in enumerate((end - 14 * DAY, end - 7 * DAY)):
        data = runs / f"week_{week}" / "towers" / "data"
        for split, least, most in (
            ("train", 0, start),
            # The first week chooses; later ones only look back.
            (
                "validation",
                start - 7 * DAY * week,
                start + 7 * DAY * (not week),
            ),
        ):
            (batch,) = numpy_batches(data, split, 1000)
            assert least <= batch["request_time"].min()
            assert batch["request_time"].max() < most
            assert batch["click_event_time"].max() < most
        # Every event but the oldest of a user is an example.
        (batch,) = numpy_batches(data, "train", 1000)
        past = events[events["ts"] < start]
        users = past["user_id"].nunique()
        assert batch["click_length"].sum() == len(past) - users
    made = list((runs / "week_1" / "towers" / "two_tower").iterdir())
    again = judge_weeks(*arguments)
    assert "two_tower" in again
    assert made == list((runs / "week_1" / "towers" / "two_tower").iterdir())


def test_novel_repeated_and_cold_items_are_told_apart():
    logs = random_interactions()
    rare = logs.item_id[logs.popularity().argmin()]
    common = logs.item_id[logs.popularity().argmax()]
    wanted = np.array([[common, rare], [rare, 9999]])
    repeated = np.array([[True, False], [False, False]])
    requests = Requests({}, wanted, np.arange(2), repeated)
    lists = ItemLists(
        np.array([[common, 5], [9999, rare]]),
        np.array([[2.0, 1.0], [2.0, 1.0]], np.float32),
        np.array([2, 2], np.int32),
    )
    found = request_metrics(lists, requests, logs)
    assert found["recall@20"].tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found["repeat_recall@20"], [1, np.nan])
    assert found["novel_recall@20"].tolist() == [0, 1]
    # An item of no user at all is cold, and so is one of few.
    few = logs.popularity().min() < 5
    assert found["cold_recall@100"][1] == 1
    assert np.isnan(found["cold_recall@100"][0]) != few
    alone = only_of({"one": lists, "other": lists.some([1, 0])}, requests)
    assert alone == {"one": 0.75, "other": 0.25}


def test_generated_events_are_repeatable_and_in_range():
    events = generated_events(5000, 300, 500)
    again = generated_events(5000, 300, 500)
    for column, same in zip(events, again, strict=True):
        np.testing.assert_array_equal(column, same)
    user, item, time = events
    assert user.max() < 300
    assert 1 <= item.min() < item.max() <= 500
    assert 0 <= time.min() < time.max() < 90 * DAY


def test_make_neighbors_writes_what_the_channel_reads(tmp_path):
    data = write_log(tmp_path / "data", {"train": random_log(8, 4, 20)})
    output = tmp_path / "swing.npz"
    arguments = [f"--data={data}", f"--output={output}", "--max_users=9"]
    finished = run_program("make_neighbors", *arguments)
    assert finished.returncode == 0, finished.stderr
    table = NeighborTable.load(output)
    assert table.summary() in finished.stdout
    assert table.meta["max_users"] == 9
    (tmp_path / "made").mkdir()
    other = tmp_path / "made" / "swing.npz"
    arguments[1] = f"--output={other}"
    finished = run_program("make_neighbors", *arguments, "--engine=duckdb")
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_allclose(
        NeighborTable.load(other).weights.toarray(),
        table.weights.toarray(),
        rtol=1e-5,
    )
    # Nothing of the engine's stays behind.
    assert [path.name for path in other.parent.iterdir()] == ["swing.npz"]
    refused = run_program(
        "make_neighbors", *arguments, "--engine=duckdb", "--job=ease"
    )
    assert "--engine: EASE has no expressions" in error_line(refused)
    refused = run_program("make_neighbors", *arguments, "--weights=cart=2")
    assert "`name:number` is wanted. Got: 'cart=2'" in error_line(refused)
    assert_help_is_light("make_neighbors")
