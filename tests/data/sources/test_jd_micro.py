"""Micro-behaviour sessions: a slow oracle, and nothing from the future."""

import itertools
import random

import numpy as np
import pytest

from jd_tf.data.sources import open_source
from jd_tf.data.sources.jd_micro import parse_session
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError
from tests.data.sources.micro_oracle import arrivals, expected, raw_events
from tests.data.sources.small_logs import (
    category_of,
    check_hidden,
    micro_sessions,
    write_micro,
)

OPTIONS = {"num_candidates": 6, "same_category_share": 0.5}


def read(folder, **options):
    source = open_source("jd_micro", folder, **{**OPTIONS, **options})
    return source, list(source.requests())


def place(request):
    """File name, line number from 1, event number from 0."""
    name, line, event = request["request_id"].split(":")
    return name, int(line), int(event)


def check(request, lines):
    _, line, event = place(request)
    wanted = expected(lines, line, event, request["item_id"].tolist())
    for name, values in wanted.items():
        np.testing.assert_array_equal(request[name], values, err_msg=name)


def test_requests_are_what_the_format_says(tmp_path):
    lines = micro_sessions(60)
    write_micro(tmp_path, lines)
    source, found = read(tmp_path)
    validator = RequestValidator(source.schema)
    assert len(found) > 40
    for _, request in found:
        validator.check(request)
        check(request, lines)
        np.testing.assert_array_equal(
            request["category_id"], [category_of(i) for i in request["item_id"]]
        )


def test_every_moment_is_a_request_or_counted(tmp_path):
    lines = micro_sessions(60)
    write_micro(tmp_path, lines)
    source, found = read(tmp_path)
    moments = [
        (number, event, item)
        for number, line in enumerate(lines, 1)
        for event, item in arrivals(line)
    ]
    counts = source.report.counts
    assert counts["moments: went to a new product"] == len(moments)
    left_out = sum(n for k, n in counts.items() if k.startswith("left out"))
    assert len(found) == len(moments) - left_out
    positive = {(line, event): item for line, event, item in moments}
    for _, request in found:
        _, line, event = place(request)
        items = request["item_id"].tolist()
        assert items.count(positive[line, event]) == 1
        assert len(set(items)) == len(items) == OPTIONS["num_candidates"]


def test_no_candidate_is_first_seen_at_or_after_the_request(tmp_path):
    lines = micro_sessions(80, seed=3)
    write_micro(tmp_path, lines)
    first_line: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        for item, *_ in raw_events(line):
            first_line.setdefault(item, number)
    for _, request in read(tmp_path)[1]:
        _, line, event = place(request)
        met = {e[0] for e in raw_events(lines[line - 1])[:event]}
        for item in request["item_id"].tolist():
            assert first_line[item] < line
            assert item not in met


def test_the_future_changes_labels_only(tmp_path):
    lines = micro_sessions(50, seed=5)
    number, generator = 30, random.Random(1)
    tokens = lines[number - 1].split()
    cut = next(e for e, _ in arrivals(lines[number - 1])[::-1])
    head, tail = tokens[: cut + 1], tokens[cut + 1 :]
    generator.shuffle(tail)
    # The interval of the event at the cut is of the future, too.
    head[-1] = head[-1].rsplit("+", 2)[0] + "+77+99"
    others = micro_sessions(20, seed=6)
    changed = [*lines[: number - 1], " ".join(head + tail), *others]
    write_micro(tmp_path / "a", lines)
    write_micro(tmp_path / "b", changed)
    before, after = (
        {r["request_id"]: r for _, r in read(tmp_path / name)[1]}
        for name in "ab"
    )
    compared = 0
    for name, request in before.items():
        _, line, event = place(request)
        if (line, event) > (number, cut):
            continue
        compared += 1
        for column, values in request.items():
            if column == "labels" and line == number:
                continue
            np.testing.assert_array_equal(values, after[name][column])
    assert compared > 20


@pytest.mark.parametrize(
    ("dwell", "seen", "later"),
    [
        (0, 0, 0),
        (5, 5, 5),
        (6, -1, 6),
        (905, -1, 905),
        (906, -1, -1),
        (10_000, -1, -1),
    ],
)
def test_the_dwell_of_an_open_page_is_unknown(tmp_path, dwell, seen, later):
    # Item 1 is entered 5 seconds before the user goes on to item 2.
    lines = [f"{i}+5+7+1+1" for i in (1, 2, 3, 4, 2)]
    lines.append(f"1+5+7+2+{dwell} 1+6+7+3+{dwell} 2+5+7+900+1 3+5+7+1+1")
    write_micro(tmp_path, lines)
    found = {r["request_id"]: r for _, r in read(tmp_path, num_candidates=2)[1]}
    first, second = found["JD_X.txt:6:2"], found["JD_X.txt:6:3"]
    assert first["click_dwell_seconds"].tolist() == [seen]
    # By the next request it may be over.
    assert second["click_dwell_seconds"].tolist() == [1, later]


def test_a_dwell_that_grows_after_the_request_changes_nothing(tmp_path):
    lines = [f"{i}+5+7+1+1" for i in (1, 2, 3, 4, 2)]
    found = []
    for dwell in (6, 60, 10_000):
        last = f"1+5+7+5+{dwell} 2+5+7+900+{dwell} 3+5+7+1+1"
        folder = tmp_path / str(dwell)
        write_micro(folder, [*lines, last])
        _, made = read(folder, num_candidates=2)
        requests = {r["request_id"]: r for _, r in made}
        found.append(requests["JD_X.txt:6:1"])
    for other in found[1:]:
        for column, values in found[0].items():
            np.testing.assert_array_equal(values, other[column], column)


def test_splits_are_whole_sessions_in_file_order(tmp_path):
    lines = micro_sessions(100, seed=7)
    write_micro(tmp_path, lines, "JD_A.txt")
    write_micro(tmp_path, micro_sessions(100, seed=8), "JD_B.txt")
    order = ("train", "validation", "test")
    seen: dict[str, str] = {}
    last = {}
    for split, request in read(tmp_path)[1]:
        assert seen.setdefault(request["user_id"], split) == split
        name, *_ = place(request)
        assert order.index(split) >= order.index(last.get(name, "train"))
        last[name] = split
    assert set(seen.values()) == set(order)
    # The first test session starts behind 70 % of the file, not much later.
    first = min(
        int(name.split(":")[1])
        for name, split in seen.items()
        if split == "test" and name.startswith("JD_A")
    )
    ends = np.cumsum([len(line) + 1 for line in lines])
    assert 0.7 <= ends[first - 2] / ends[-1] < 0.85


def test_files_are_shops_of_their_own(tmp_path):
    write_micro(tmp_path, micro_sessions(40, seed=1), "JD_A.txt")
    shifted = [
        " ".join(f"9{token}" for token in line.split())
        for line in micro_sessions(40, seed=2)
    ]
    write_micro(tmp_path, shifted, "JD_B.txt")
    for _, request in read(tmp_path)[1]:
        first_digits = {str(item)[0] == "9" for item in request["item_id"]}
        if request["request_id"].startswith("JD_B"):
            assert first_digits == {True}


def test_same_seed_same_requests(tmp_path):
    write_micro(tmp_path, micro_sessions(60))

    def items(**options):
        found = read(tmp_path, **options)[1]
        return [r["item_id"].tolist() for _, r in found]

    assert items(seed=4) == items(seed=4)
    assert items(seed=4) != items(seed=5)
    half = items(moment_share=0.5)
    assert 0 < len(half) < len(items())
    assert all(row in items() for row in half)


def test_same_category_share_is_of_the_product_left(tmp_path):
    lines = micro_sessions(400, seed=9)
    write_micro(tmp_path, lines)
    shares = []
    for wanted in (0.0, 1.0):
        same = [
            np.mean(
                [
                    category_of(item) == request["click_category_id"][0]
                    for item in request["item_id"]
                    if not request["labels"][
                        request["item_id"].tolist().index(item), 0
                    ]
                ]
            )
            for split, request in read(
                tmp_path, same_category_share=wanted, num_candidates=4
            )[1]
            if split == "test"
        ]
        shares.append(np.mean(same))
    assert shares[0] < 0.5
    assert shares[1] > 0.95


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1+5+7+1", "event 0"),
        ("1+5+7+1+1 2+11+7+1+1", "event 1"),
        ("1+5+7+-1+1", "column `interval`"),
        ("1+5+7+1+x", "column `dwell`"),
        ("0+5+7+1+1", "column `sku` .* at least 1"),
        ("", "empty"),
        ("user_id,sku_id,time", "event 0"),
    ],
)
def test_bad_sessions_are_named(tmp_path, line, message):
    lines = micro_sessions(40)
    path = write_micro(tmp_path, [*lines[:20], line, *lines[20:]])
    with pytest.raises(DataError, match=f"{path}: line 21: .*{message}"):
        read(tmp_path)
    source, found = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1
    assert "line 21" in source.report.messages[0]
    assert found


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = write_micro(tmp_path, micro_sessions(9))
    path.write_bytes(path.read_bytes() + b"1+5+7+\xff+1\n")
    with pytest.raises(DataError, match=f"{path}: line 10: byte 6 .*UTF-8"):
        read(tmp_path)


def test_a_file_cut_anywhere_is_named(tmp_path):
    path = write_micro(tmp_path, micro_sessions(9))
    whole = path.read_bytes()
    for size in random.Random(0).sample(range(1, len(whole)), 30):
        path.write_bytes(whole[:size])
        if whole[:size].endswith(b"\n"):
            continue
        with pytest.raises(DataError, match=r"JD_X.txt: line \d+"):
            read(tmp_path)


def test_empty_files_and_wrong_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "none")
    (tmp_path / "JData_Action_1.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"no jd_micro files.*JData_Action_1"):
        read(tmp_path)
    (tmp_path / "JD_A.txt").write_text("")
    with pytest.raises(DataError, match=r"JD_A.txt: the file is empty"):
        read(tmp_path)


def test_a_session_starts_at_zero_and_intervals_lead_to_the_next():
    events, categories = parse_session("5+5+9+7+4 5+6+9+2+4 6+1+8+3+1")
    assert [event.time for event in events] == [0, 7, 9]
    assert categories == {5: 9, 6: 8}


# The published sample ------------------------------------------------------


@pytest.fixture(scope="module")
def real(data_dir):
    folder = data_dir / "jd_micro_behaviors"
    source = open_source("jd_micro", folder, moment_share=0.3)
    return folder, source, list(source.requests())


def test_real_sessions_agree_with_the_oracle(real):
    folder, source, found = real
    validator = RequestValidator(source.schema)
    lines = {
        path.name: path.read_text().splitlines() for path in folder.glob("JD_*")
    }
    for _, request in found:
        validator.check(request)
    for _, request in random.Random(0).sample(found, 3):
        check(request, lines[place(request)[0]])


def test_intervals_lead_to_the_next_event(real):
    """The evidence for how intervals are read, on the published sample."""
    lasted, shifted, within = [], [], []
    for path in real[0].glob("JD_*"):
        for line in path.read_text().splitlines():
            tokens = [tuple(map(int, t.split("+"))) for t in line.split()]
            runs = [[0]]
            for number in range(1, len(tokens)):
                if tokens[number][0] != tokens[number - 1][0]:
                    runs.append([])
                runs[-1].append(number)
            for run, following in itertools.pairwise(runs):
                dwell = tokens[run[0]][4]
                gaps = [tokens[n][3] for n in run]
                total = sum(gaps)
                lasted.append(abs(total - dwell) <= 1)
                within.append(total >= dwell)
                late = total - gaps[0] + tokens[following[0]][3]
                shifted.append(abs(late - dwell) <= 1)
    assert np.mean(lasted) > 0.25
    assert np.mean(within) > 0.9
    assert np.mean(shifted) < 0.1


def test_counters_and_places_do_not_give_the_positive_away(real):
    check_hidden([request for split, request in real[2] if split != "train"])
