"""KuaiRand impressions: a slow oracle, the future, cuts, and bad input."""

import gzip
import tracemalloc

import numpy as np
import pytest

from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.sources import open_source
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError
from tests.data.sources.kuairand_logs import HOUR, START, log, write

KEPT = {
    "click": lambda row: row[3],
    "profile_enter": lambda row: row[5],
    "comment": lambda row: row[6],
    "skip": lambda row: not row[3] and not row[4],
}


def read(folder, **options):
    source = open_source("kuairand", folder, **options)
    return source, list(source.requests())


def test_requests_are_what_was_known_when_they_began(tmp_path):
    rows = log(900, seed=1)
    source, found = read(write(tmp_path, rows))
    validator = RequestValidator(source.schema)
    by_user = {}
    for row in rows:
        by_user.setdefault(row[0], []).append(row)
    assert len(found) > 150
    met = 0
    for _, request in found:
        validator.check(request)
        user, time = map(int, request["request_id"].split(":"))
        mine = by_user[user]
        over = [r for r in mine if r[2] + r[9] + r[11] <= time]
        for behavior in source.schema.behaviors:
            length, kept = behavior.max_length, KEPT[behavior.name]
            known = [r for r in reversed(over) if kept(r) and r[2] < time]
            # Of one millisecond, the order is the log's.
            wanted = [r[1] for r in known][:length]
            assert request[f"{behavior.name}_item_id"].tolist() == wanted
        clicks = [r for r in reversed(over) if r[3] and r[2] < time][:50]
        met += len(clicks)
        np.testing.assert_allclose(
            request["click_dwell_seconds"], [r[9] / 1000 for r in clicks]
        )
        assert request["request_time"] == time // 1000
        times = [r[2] // 1000 for r in clicks]
        assert request["click_event_time"].tolist() == times
        counts = [[*r[4:9], r[11] / 1000] for r in clicks]
        np.testing.assert_allclose(
            request["click_action_counts"].reshape(-1, 6),
            np.array(counts).reshape(-1, 6),
        )
        shown = [r for r in mine if r[2] >= time][: len(request["item_id"])]
        # Duplicates to the last column are dropped.
        assert request["item_id"].tolist() == [r[1] for r in shown]
        assert request["labels"].tolist() == [r[3:9] for r in shown]
        np.testing.assert_allclose(
            request["item_dense"][:, 0], [r[10] / 1000 for r in shown]
        )
    assert met > 1000


def test_a_video_shown_twice_is_one_candidate(tmp_path):
    none = [0, 0, 0, 0, 0, 0]
    rows = [
        [1, 101, START, *none, 900, 0, 0, 1],
        # Viewed long, though its line says that it was not opened.
        [1, 102, START + 1000, 0, 1, 0, 0, 0, 0, 900, 0, 0, 1],
        # Scrolled back to, and forwarded.
        [1, 101, START + 2000, 1, 0, 0, 0, 1, 0, 900, 0, 0, 1],
    ]
    rows += log(60, 1, START + 9 * HOUR)
    _, found = read(write(tmp_path, rows))
    request = found[0][1]
    assert request["item_id"].tolist() == [101, 102]
    labels = [[1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0]]
    assert request["labels"].tolist() == labels
    assert request["item_dense"].shape[0] == 2


def distinct(rows):
    """Rows less those that repeat one to the last column."""
    return [list(row) for row in dict.fromkeys(map(tuple, rows))]


def counted(rows, place, one, now):
    """Impressions of an id over before a time, feedback, smoothed rates."""
    over = [r for r in rows if r[2] + r[9] + r[11] < now]
    mine = [r for r in over if r[place] == one]
    sums = [sum(r[column] for r in mine) for column in range(3, 9)]
    means = [sum(r[column] for r in over) for column in range(3, 9)]
    means = [total / max(len(over), 1) for total in means]
    rates = [
        (count + 20 * mean) / (len(mine) + 20)
        for count, mean in zip(sums, means, strict=True)
    ]
    return len(mine), sums, rates


@pytest.mark.parametrize("step", [40_000, 300_000])
def test_counters_are_those_before_the_request(tmp_path, step):
    rows = distinct(log(700, seed=2, step=step))
    _, found = read(write(tmp_path, rows))
    met = 0
    for _, request in found:
        user, time = map(int, request["request_id"].split(":"))
        for item, dense in zip(
            request["item_id"], request["item_dense"], strict=True
        ):
            shown, sums, rates = counted(rows, 1, item, time)
            assert dense[1:8].tolist() == [shown, *sums]
            np.testing.assert_allclose(dense[8:], rates, rtol=1e-5)
            met += shown
        shown, _, rates = counted(rows, 0, user, time)
        assert request["session_dense"][-7] == shown
        np.testing.assert_allclose(
            request["session_dense"][-6:], rates, rtol=1e-5
        )
        assert request["viewer_id"] == user
    assert met > 5000


def test_outcomes_of_a_request_reach_none_of_its_own_columns(tmp_path):
    rows = log(900, seed=12)
    _, found = read(write(tmp_path, rows), max_candidates=8)
    request = max((r for _, r in found[100:]), key=lambda r: len(r["item_id"]))
    user, time = map(int, request["request_id"].split(":"))
    shown = [r for r in rows if r[0] == user and r[2] >= time]
    assert len(request["item_id"]) == 8
    for row in shown[:8]:
        row[3:9] = [1 - value for value in row[3:9]]
    _, changed = read(write(tmp_path, rows), max_candidates=8)
    other = {r["request_id"]: r for _, r in changed}[request["request_id"]]
    assert (other["labels"] != request["labels"]).any(axis=1).all()
    for name, values in request.items():
        if name != "labels":
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_requests_are_close_in_time_and_never_cross_midnight(tmp_path):
    gap = 100.0
    rows = log(900, seed=3)
    folder = write(tmp_path, rows)
    _, found = read(folder, request_gap_seconds=gap, max_candidates=4)
    sizes = [len(r["item_id"]) for _, r in found]
    assert max(sizes) == 4
    assert min(sizes) == 1
    begins = {}
    for row in rows:
        begins.setdefault(row[0], []).append((row[2], row[9] + row[11]))
    for _, request in found:
        user, time = map(int, request["request_id"].split(":"))
        shown = [e for e in begins[user] if e[0] >= time]
        shown = shown[: len(request["item_id"])]
        end = 0
        for began, lasted in shown:
            assert not end or began - end <= 1000 * gap
            end = max(end, began + lasted)
        days = {(began + 8 * HOUR) // (24 * HOUR) for began, _ in shown}
        assert len(days) == 1


def test_the_future_changes_no_earlier_request(tmp_path):
    rows, cut = log(1000, seed=4), 600
    while rows[cut][2] == rows[cut - 1][2]:
        cut += 1
    now = rows[cut - 1][2]
    tail = log(300, seed=99, start=now + 1)
    for row in tail:
        # Scrolling back would join labels.
        row[1] += 40
    # Play times of what is on, too, are the future.
    _, before = read(write(tmp_path / "a", rows))
    _, after = read(write(tmp_path / "b", rows[:cut] + tail))
    after = {r["request_id"]: r for _, r in after}
    compared = 0
    for _, request in before:
        time = int(request["request_id"].split(":")[1])
        if time > now or request["request_id"] not in after:
            continue
        compared += 1
        other = after[request["request_id"]]
        for name, values in request.items():
            if name in ("labels", "label_weights", "item_id", "item_dense"):
                # More may join the last request of a user; its own stay.
                shared = min(len(values), len(other[name]))
                known = sum(
                    r[0] == request["user_id"] and time <= r[2] <= now
                    for r in rows
                )
                shared = min(shared, known)
                values, mine = values[:shared], other[name][:shared]
            else:
                mine = other[name]
            np.testing.assert_array_equal(values, mine, err_msg=name)
    assert compared > 150


def test_what_came_of_an_impression_is_unknown_while_it_plays(tmp_path):
    plays = 700_000
    rows = [
        [1, 101, START, 1, 1, 1, 1, 1, 1, plays, 0, 0, 1],
        [1, 102, START + 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [1, 103, START + 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [1, 104, START + plays + 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    options = {"max_candidates": 1, "request_gap_seconds": 0.0}
    _, found = read(write(tmp_path, rows + log(40, 1, START + HOUR)), **options)
    histories = {r["item_id"][0]: r["click_item_id"].tolist() for _, r in found}
    assert histories[101] == []
    assert histories[102] == []
    assert histories[103] == [102]
    assert histories[104] == [103, 102, 101]


def test_sessions_begin_anew_after_a_pause(tmp_path):
    click = [1, 1, 0, 0, 0, 0]
    rows = [
        [1, 101, START, *click, 2000, 0, 1000, 1],
        [1, 102, START + 400_000, *click, 3000, 0, 0, 1],
        [1, 103, START + 2 * HOUR, *click, 0, 0, 0, 1],
        [1, 104, START + 2 * HOUR + 301_000, *click, 0, 0, 0, 1],
    ]
    rows += log(60, 1, START + 9 * HOUR)
    _, found = read(write(tmp_path, rows))
    dense = {
        r["item_id"][0]: r["session_dense"][:10].tolist() for _, r in found
    }
    assert dense[101] == [0.0] * 10
    assert dense[102] == [400, 1, 2, 1, 1, 1, 0, 0, 0, 0]
    assert dense[103] == [0.0] * 10
    assert dense[104] == [301, 1, 0, 0, 1, 1, 0, 0, 0, 0]


def test_splits_are_cut_by_time_and_no_outcome_crosses_a_cut(tmp_path):
    rows = log(1500, seed=5)
    source, found = read(
        write(tmp_path, rows), validation_share=0.2, test_share=0.3
    )
    times = {}
    for split, request in found:
        times.setdefault(split, []).append(request["request_time"])
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    validation, test = source._split_starts()
    order = sorted(r[2] for r in rows)
    for start, share in ((validation, 0.5), (test, 0.7)):
        assert abs(start * 1000 - order[round(share * len(rows))]) < 10 * 60_000
    for split, request in found:
        user, time = map(int, request["request_id"].split(":"))
        mine = [r for r in rows if r[0] == user and r[2] >= time]
        end = max(r[2] + r[9] + r[11] for r in mine[: len(request["item_id"])])
        limit = {"train": validation, "validation": test}.get(split, np.inf)
        assert end < 1000 * limit


def test_a_published_log_with_commas_and_scenarios_reads_alike(tmp_path):
    rows = log(500, seed=6, tab=True)
    source, found = read(
        write(tmp_path, rows, "log_standard_pure.csv", tab=True)
    )
    names = [column.name for column in source.schema.context_columns]
    assert names == ["hour", "viewer_id", "scenario"]
    validator = RequestValidator(source.schema)
    met = set()
    for _, request in found:
        validator.check(request)
        met.add(request["scenario"])
    assert met == {1, 2, 3}


def test_several_files_are_merged_by_time(tmp_path):
    rows = log(600, seed=7)
    _, whole = read(write(tmp_path / "a", rows))
    folder = write(tmp_path / "b", rows[::2], "feedback_1.tsv.gz")
    _, parts = read(write(folder, rows[1::2], "feedback_2.tsv"))

    def known(found):
        return sorted(
            (r["request_id"], sorted(r["item_id"].tolist())) for _, r in found
        )

    # Of the same millisecond, the order may differ.
    assert len(whole) == len(parts)
    assert known(whole) == known(parts)


@pytest.mark.parametrize(
    ("line", "column", "value", "message"),
    [
        (5, 3, "2", "column `is_click` must be .* 0 to 1"),
        (5, 9, "-4", "column `play_time_ms` must be a whole number"),
        (5, 9, "nan", "column `play_time_ms` must be a whole number"),
        (5, 2, "1649300000", "column `time_ms` must be milliseconds"),
        (5, 2, str(START - 1), "column `time_ms`.* sort the file"),
        (5, 0, "0", "column `user_id` must be .* at least 1"),
        (5, 12, "1\t1", "14 columns, the header has 13"),
    ],
)
def test_a_bad_line_is_named_or_skipped(tmp_path, line, column, value, message):
    rows = log(400, seed=8)
    rows[line][column] = value
    folder = write(tmp_path, rows)
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert f"feedback.tsv.gz: line {line + 2}: " in str(caught.value)
    assert "--max_bad_records" in str(caught.value)
    source, found = read(folder, max_bad_records=1)
    assert source.report.bad_records == 1
    assert len(found) > 50


def test_files_that_cannot_be_read_are_named(tmp_path):
    rows = log(400, seed=9)
    path = write(tmp_path, rows) / "feedback.tsv.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"line \d+: .*truncated or damaged"):
        read(tmp_path)
    _, found = read(tmp_path, max_bad_records=1)
    assert found
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        read(tmp_path)
    path.write_bytes(gzip.compress(b"user_id\tvideo_id\n1\t2\n"))
    with pytest.raises(DataError, match="no column `time_ms`"):
        read(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="no kuairand files"):
        read(tmp_path)


def test_output_is_whole_or_not_at_all(tmp_path):
    rows = log(400, seed=10)
    good = open_source("kuairand", write(tmp_path / "in", rows))
    summary = make_dataset(good, tmp_path / "good")
    assert summary["splits"]["test"]["requests"] > 5
    rows[-3][3] = "x"
    bad = open_source("kuairand", write(tmp_path / "in", rows))
    with pytest.raises(DataError, match="line 399"):
        make_dataset(bad, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good", "in"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path):
    peaks = []
    for size in (2_000, 8_000):
        folder = write(tmp_path / str(size), log(size, seed=11))
        source = open_source("kuairand", folder)
        tracemalloc.start()
        for _ in source.requests():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize(
    "options",
    [{"max_candidates": 0}, {"request_gap_seconds": -1.0}, {"seed": 1}],
)
def test_wrong_options_are_refused(tmp_path, options):
    with pytest.raises(DataError, match=next(iter(options))):
        read(write(tmp_path, log(10)), **options)


def test_the_real_log_becomes_requests(data_dir):
    source, found = read(data_dir / "kuairand_feedback")
    counts = source.report.counts
    assert counts["impressions"] == 33_462
    assert counts["users"] == 663
    assert not source.report.bad_records
    splits = [split for split, _ in found]
    assert 0.6 < splits.count("train") / len(splits) < 0.8
    shown = sum(len(r["item_id"]) for _, r in found)
    dropped = counts["exact duplicates dropped"]
    assert 33_300 < shown + dropped < 33_462
    labels = np.concatenate([r["labels"] for _, r in found])
    rates = labels.mean(axis=0)
    assert 0.6 < rates[0] < 0.7
    assert rates[1:].tolist() == sorted(rates[1:], reverse=True)
    validator = RequestValidator(source.schema)
    for _, request in found[::50]:
        validator.check(request)
    test = [r for split, r in found if split == "test"]
    assert np.mean([len(r["click_item_id"]) for r in test]) > 20
