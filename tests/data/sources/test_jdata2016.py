"""JData actions: a slow oracle, splits by time, and tables beside them."""

import random

import numpy as np
import pytest

from jd_tf.data.sources import open_source
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError
from tests.data.sources.jdata_oracle import DAY, Oracle, parse, seconds_of
from tests.data.sources.small_logs import (
    ACTION_HEADER,
    action,
    check_hidden,
    clock,
    jdata_actions,
    write_jdata,
)

OPTIONS = {"num_candidates": 5}


def read(folder, **options):
    source = open_source("jdata2016", folder, **{**OPTIONS, **options})
    return source, list(source.requests())


@pytest.mark.parametrize("seed", [0, 1])
def test_requests_are_what_the_format_says(tmp_path, seed):
    first = jdata_actions(700, seed)
    second = jdata_actions(400, seed + 10, start=29 * DAY)
    write_jdata(tmp_path, a=first, b=second)
    source, found = read(tmp_path)
    oracle = Oracle(first + second)
    validator = RequestValidator(source.schema)
    assert len(found) > 40
    for _, request in found:
        validator.check(request)
        items = request["item_id"].tolist()
        wanted = oracle.request(request["request_id"], items)
        for name, values in wanted.items():
            np.testing.assert_array_equal(request[name], values, err_msg=name)
        assert len(set(items)) == len(items) == OPTIONS["num_candidates"]
    counts = source.report.counts
    assert counts["moments: went to a new product"] == len(oracle.arrivals)
    left_out = sum(n for k, n in counts.items() if k.startswith("left out"))
    assert len(found) == len(oracle.arrivals) - left_out


def oldest_click(request):
    """Its age in seconds."""
    return request["request_time"] - request["click_event_time"].min()


def test_no_candidate_is_first_seen_at_or_after_the_request(tmp_path):
    lines = jdata_actions(800, 4)
    write_jdata(tmp_path, a=lines)
    first: dict[int, int] = {}
    for _, item, time, *_ in parse(lines):
        first.setdefault(item, time)
    for _, request in read(tmp_path)[1]:
        for item in request["item_id"].tolist():
            assert first[item] < request["request_time"]


def test_the_future_changes_labels_only(tmp_path):
    lines, other = jdata_actions(1200, 5), jdata_actions(300, 6)
    cut = 900
    now = lines[cut - 1].split(",")[2]
    later = (seconds_of(now) - seconds_of(clock(0))) + 1
    while lines[cut].split(",")[2] == now:
        cut += 1
    tail = [
        ",".join([u, i, clock(later + n), *rest])
        for n, (u, i, _, *rest) in enumerate(line.split(",") for line in other)
    ]
    write_jdata(tmp_path / "a", x=lines)
    write_jdata(tmp_path / "b", x=lines[:cut] + tail)
    before, after = (
        {r["request_id"]: r for _, r in read(tmp_path / name)[1]}
        for name in "ab"
    )
    compared = 0
    for name, request in before.items():
        if request["request_time"] > seconds_of(now) or name not in after:
            continue
        compared += 1
        for column, values in request.items():
            if column != "labels":
                np.testing.assert_array_equal(values, after[name][column])
    assert compared > 20


def test_the_last_file_tests_and_time_cuts_the_rest(tmp_path):
    write_jdata(
        tmp_path,
        zz_first=jdata_actions(2000, 1),
        aa_second=jdata_actions(500, 2, start=20 * DAY),
    )
    source, found = read(tmp_path, validation_share=0.2)
    times = {}
    for split, request in found:
        times.setdefault(split, []).append(request["request_time"])
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < 19 * DAY + seconds_of(clock(0))
    assert min(times["test"]) >= 20 * DAY + seconds_of(clock(0))
    # Histories go on over the files.
    test = [r for split, r in found if split == "test"]
    assert max(oldest_click(r) for r in test) > 19 * DAY
    lines = jdata_actions(2000, 1)
    at = seconds_of(lines[round(0.8 * len(lines))].split(",")[2])
    assert abs(source.split_starts[0] - at) < 120


def test_one_file_is_cut_twice(tmp_path):
    write_jdata(tmp_path, a=jdata_actions(2000, 1))
    _, found = read(tmp_path, validation_share=0.3, test_share=0.3)
    times = {}
    for split, request in found:
        times.setdefault(split, []).append(request["request_time"])
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])


def test_sessions_that_cross_a_split_are_left_out(tmp_path):
    # Others make all items known; one user's session spans both files.
    first = [action(200_100 + n, n % 60 + 1, n, 1) for n in range(150)]
    first += [action(200_001, n + 1, 150 + 10 * n, 1) for n in range(20)]
    second = [action(200_001, n + 1, 150 + 10 * n, 1) for n in range(20, 40)]
    write_jdata(tmp_path, a=first, b=second)
    source, found = read(tmp_path)
    crossing = [
        (split, request)
        for split, request in found
        if request["user_id"] == 200_001
    ]
    assert [split for split, _ in crossing] == ["test"] * 20
    left_out = source.report.counts["left out: session crosses a split"]
    assert left_out == 19


def test_labels_end_with_the_session(tmp_path):
    lines = [action(200_001 + n, n % 6 + 1, n, 1) for n in range(40)]
    user = 200_500
    lines += [
        action(user, 1, 100, 1),
        action(user, 2, 110, 1),
        action(user, 2, 120, 2),
        action(user, 2, 120 + 1800, 5),
        action(user, 2, 120 + 3601, 4),
        action(user, 3, 120 + 3620, 1),
    ]
    write_jdata(tmp_path, a=lines)
    _, found = read(tmp_path, num_candidates=2)
    request = next(
        r for _, r in found if r["request_id"].startswith(f"{user}:")
    )
    row = request["labels"][request["item_id"].tolist().index(2)]
    # The order comes a second too late to be of this session.
    assert row.tolist() == [1, 1, 1, 0]


def test_the_first_modules_of_a_visit_are_kept_in_order(tmp_path):
    lines = [action(200_001 + n, n % 6 + 1, n, 1) for n in range(40)]
    user, modules = 200_500, (27, 0, 27, 216, "", 11, 13)
    for n, module in enumerate(modules):
        lines.append(action(user, 1, 100 + n, 6, module))
    lines.append(action(user, 2, 110, 1))
    write_jdata(tmp_path, a=lines)
    _, found = read(tmp_path, num_candidates=2)
    request = next(r for _, r in found if r["user_id"] == user)
    # One more than the log's number, as 0 pads.
    assert request["click_action_ids"].tolist() == [[28, 1, 217, 12]]


def test_exact_duplicates_are_dropped_and_counted(tmp_path):
    lines = jdata_actions(500, 3)
    write_jdata(tmp_path / "a", x=lines)
    source, found = read(tmp_path / "a")
    extra = len(lines) - len(set(lines))
    assert source.report.counts["exact duplicates dropped"] == extra > 50
    write_jdata(tmp_path / "b", x=list(dict.fromkeys(lines)))
    _, unique = read(tmp_path / "b")
    by_id = {r["request_id"]: r for _, r in unique}
    for _, request in found:
        if request["request_id"] in by_id:
            for name, values in request.items():
                np.testing.assert_array_equal(
                    values, by_id[request["request_id"]][name]
                )


def test_same_seed_same_requests(tmp_path):
    write_jdata(tmp_path, a=jdata_actions(500, 3))

    def items(seed):
        return [r["item_id"].tolist() for _, r in read(tmp_path, seed=seed)[1]]

    assert items(1) == items(1) != items(2)


# Tables --------------------------------------------------------------------


@pytest.fixture
def with_tables(tmp_path):
    write_jdata(
        tmp_path,
        a=jdata_actions(500, 3),
        b=jdata_actions(300, 4, start=2 * DAY),
    )
    users = b"user_id,age,sex,user_lv_cd,user_reg_tm\r\n"
    users += b"200001,26-35\xcb\xea,0,5,2016-01-26\r\n"
    users += b"200002,-1,2,3,2016-01-26\r\n"
    (tmp_path / "JData_User.csv").write_bytes(users)
    (tmp_path / "JData_Product.csv").write_text(
        "sku_id,a1,a2,a3,cate,brand\n8,3,1,-1,8,489\n9,1,2,2,8,489\n"
    )
    (tmp_path / "JData_Comment.csv").write_text(
        "dt,sku_id,comment_num,has_bad_comment,bad_comment_rate\n"
        "2016-02-01,8,3,1,0.25\n2016-02-03,8,4,0,0.5\n2016-02-02,9,1,0,0.0\n"
    )
    return tmp_path


def test_tables_become_columns(with_tables):
    source, found = read(with_tables)
    validator = RequestValidator(source.schema)
    ages = source.schema.column("user_age")
    assert ages.dtype == "string"
    seen = set()
    for _, request in found:
        validator.check(request)
        level, sex = request["user_level"], request["sex"]
        expected = {200_001: ("5", "0"), 200_002: ("3", "2")}
        unlisted = ("unlisted", "unlisted")
        assert (level, sex) == expected.get(request["user_id"], unlisted)
        for place, item in enumerate(request["item_id"].tolist()):
            attributes = tuple(
                request[f"attribute_{name}"][place] for name in ("a1", "a3")
            )
            listed = {8: ("3", "-1"), 9: ("1", "2")}
            assert attributes == listed.get(item, unlisted)
            seen.add(item)
        assert len(request["click_attribute_a1"]) == len(
            request["click_item_id"]
        )
    assert {8, 9, 10} <= seen


def test_comments_count_from_the_day_after(with_tables):
    source, found = read(with_tables)
    names = source.schema.item_dense
    start = names.index("comments_known")
    days = set()
    for _, request in found:
        day = (request["request_time"] - seconds_of(clock(0))) // DAY
        days.add(day)
        for item, row in zip(
            request["item_id"].tolist(), request["item_dense"], strict=True
        ):
            known = {
                # Made on 2016-02-01, and on the third day at midnight.
                8: [0, 0, 0, 0] if day == 0 else [1, 3, 1, 0.25],
                9: [0, 0, 0, 0] if day < 2 else [1, 1, 0, 0.0],
            }
            assert row[start:].tolist() == known.get(item, [0, 0, 0, 0])
    assert days == {0, 2}


def test_without_tables_there_are_no_such_columns(tmp_path):
    write_jdata(tmp_path, a=jdata_actions(500, 3))
    source, _ = read(tmp_path)
    names = {column.name for column in source.schema.columns()}
    assert not names & {"user_age", "attribute_a1", "click_attribute_a1"}
    assert "comments_known" not in source.schema.item_dense
    assert any("JData_User" in note for note in source.report.notes)


# Bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,1,{t},,1,4,30", "column `user_id` .*'x'"),
        ("1.5,1,{t},,1,4,30", "column `user_id`"),
        ("1.0,0,{t},,1,4,30", "column `sku_id`"),
        ("1.0,1,2016-02-01 25:00:00,,1,4,30", "column `time`.*25:00"),
        ("1.0,1,2016-02-01,,1,4,30", "column `time`"),
        ("1.0,1,{t},,7,4,30", "column `type`.*'7'"),
        ("1.0,1,{t},9999,1,4,30", "column `model_id`.*'9999'"),
        ("1.0,1,{t},,1,4,", "column `brand`"),
        ("1.0,1,{t},,1,4", "6 columns, the header has 7"),
        ("1.0,1,2016-01-01 00:00:00,,1,4,30", ".*before the line above"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    lines = jdata_actions(500, 3)
    line = line.format(t=lines[99].split(",")[2])
    write_jdata(tmp_path, a=[*lines[:100], line, *lines[100:]])
    with pytest.raises(
        DataError, match=f"JData_Action_a.csv: line 102: {message}"
    ):
        read(tmp_path)
    source, found = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1
    write_jdata(tmp_path, a=lines)
    assert len(found) == len(read(tmp_path)[1])


def test_missing_columns_are_named(tmp_path):
    write_jdata(tmp_path, a=jdata_actions(50, 3))
    path = tmp_path / "JData_Action_a.csv"
    text = path.read_text()
    for name in ("time", "brand"):
        path.write_text(text.replace(name, "other", 1))
        with pytest.raises(DataError, match=f"line 1: no column `{name}`"):
            read(tmp_path)


def test_a_file_cut_anywhere_is_named(tmp_path):
    write_jdata(tmp_path, a=jdata_actions(60, 3))
    path = tmp_path / "JData_Action_a.csv"
    whole = path.read_bytes()
    for size in random.Random(0).sample(range(1, len(whole)), 30):
        path.write_bytes(whole[:size])
        if whole[:size].endswith(b"\n"):
            continue
        with pytest.raises(DataError, match=r"JData_Action_a.csv: (line|no)"):
            read(tmp_path)


def test_empty_files_are_named(tmp_path):
    (tmp_path / "JData_Action_a.csv").write_text("")
    with pytest.raises(
        DataError, match=r"JData_Action_a.csv: the file is empty"
    ):
        read(tmp_path)
    (tmp_path / "JData_Action_a.csv").write_text(ACTION_HEADER + "\n")
    with pytest.raises(DataError, match=r"JData_Action_a.csv: no line with"):
        read(tmp_path)


def test_bad_table_rows_are_named(with_tables):
    path = with_tables / "JData_Comment.csv"
    path.write_text(path.read_text() + "2016-02-01,x,3,1,0.25\n")
    with pytest.raises(DataError, match=r"JData_Comment.csv: line 5: .*'x'"):
        read(with_tables)
    source, _ = read(with_tables, max_bad_records=1)
    assert source.report.bad_records == 1


# The published sample ------------------------------------------------------


@pytest.fixture(scope="module")
def real(data_dir):
    source = open_source("jdata2016", data_dir / "jdata2016")
    return source, list(source.requests())


def test_real_log_first_file_trains_second_tests(real):
    source, found = real
    validator = RequestValidator(source.schema)
    second = seconds_of("2016-02-29 00:00:00")
    for split, request in found:
        validator.check(request)
        assert (request["request_time"] > second) == (split == "test")
    assert {split for split, _ in found} == {"train", "validation", "test"}
    counts = source.report.counts
    assert counts["rows"] == 2 * 29_999
    assert 0.24 < counts["exact duplicates dropped"] / counts["rows"] < 0.28
    assert source.report.bad_records == 0
    assert max(oldest_click(r) for _, r in found) > 28 * DAY


def test_real_counters_and_places_do_not_give_the_positive_away(real):
    check_hidden([request for _, request in real[1]])
