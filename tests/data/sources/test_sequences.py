"""Timelines as next-item requests: protocol, leaks, damaged files."""

import collections
import json
from pathlib import Path

import numpy as np
import pytest

from jd_tf.data.sources import open_source
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError
from tests.data.sources.timeline_files import timelines, write_timelines

SHARED = Path(__file__).parents[4] / "shared" / "data" / "amazon_sequences"
OPTIONS = {"num_negatives": 5}


def read(folder, **options):
    """Returns the source and split -> its requests."""
    source = open_source("sequences", folder, **{**OPTIONS, **options})
    found = collections.defaultdict(list)
    for split, request in source.requests():
        found[split].append(request)
    return source, found


def positive(request):
    (place,) = np.flatnonzero(request["labels"][:, 0])
    return int(request["item_id"][place])


def negatives(request):
    return request["item_id"][request["labels"][:, 0] == 0]


@pytest.fixture
def users():
    return timelines()


@pytest.mark.parametrize("num_negatives", [9, 0])
def test_requests_follow_the_protocol(tmp_path, users, num_negatives):
    write_timelines(tmp_path, users, num_negatives=num_negatives)
    source, found = read(tmp_path, max_length=6)
    validator = RequestValidator(source.schema)
    targets = collections.defaultdict(list)
    for split, requests in found.items():
        for request in requests:
            validator.check(request)
            items = users[request["user_id"]]
            place = items.index(positive(request))
            targets[split, request["user_id"]].append(place)
            assert request["request_id"] == f"{request['user_id']}:{place}"
            expected = [items[i] for i in range(place - 1, -1, -1)][:6]
            assert request["click_item_id"].tolist() == expected
            times = request["click_event_time"].tolist()
            assert times == list(range(-1, -1 - len(expected), -1))
            assert not set(negatives(request).tolist()) & set(items)
    for user, items in users.items():
        last = len(items) - 1
        assert targets["test", user] == [last]
        assert targets["validation", user] == [last - 1]
        assert targets["train", user] == list(range(1, last - 1))


def test_training_negatives_are_distinct_and_uniform(tmp_path, users):
    write_timelines(tmp_path, users)
    drawn = collections.Counter()
    for seed in range(20):
        _, found = read(tmp_path, seed=seed, num_negatives=8)
        for request in found["train"]:
            assert len(set(request["item_id"].tolist())) == 9
            drawn.update(negatives(request).tolist())
    # How often an item may be drawn depends on who touches it.
    allowed = collections.Counter()
    everything = {item for items in users.values() for item in items}
    for items in users.values():
        rest = everything - set(items)
        for item in rest:
            allowed[item] += 8 * 20 * (len(items) - 3) / len(rest)
    for item in everything:
        spread = allowed[item] ** 0.5
        assert abs(drawn[item] - allowed[item]) < 6 * spread


def test_popular_negatives_follow_training_events(tmp_path, users):
    write_timelines(tmp_path, users)
    events = collections.Counter(i for v in users.values() for i in v[:-2])

    def mean_popularity(share):
        _, found = read(tmp_path, popular_share=share)
        drawn = [i for r in found["train"] for i in negatives(r).tolist()]
        return np.mean([events[item] for item in drawn])

    low, middle, high = map(mean_popularity, (0.0, 0.5, 1.0))
    assert low < middle < high


def test_fixed_negatives_are_those_of_the_file(tmp_path, users):
    write_timelines(tmp_path, users)
    stored = np.load(tmp_path / "Tiny_negatives.npz")["negatives"]
    source, found = read(tmp_path)
    for split in ("validation", "test"):
        for row, request in zip(stored, found[split], strict=True):
            assert sorted(negatives(request)) == sorted(row)
    assert not any("seed" in note for note in source.report.notes)


def test_a_negative_that_is_published_twice_is_one_candidate(tmp_path, users):
    write_timelines(tmp_path, users)
    path = tmp_path / "Tiny_negatives.npz"
    stored = dict(np.load(path))
    stored["negatives"][:, 3] = stored["negatives"][:, 0]
    np.savez(path, **stored)
    source, found = read(tmp_path, **OPTIONS)
    for request in found["test"]:
        drawn = negatives(request).tolist()
        assert len(drawn) == len(set(drawn)) == 8
    dropped = source.report.counts["repeated negatives dropped"]
    assert dropped == len(found["test"]) + len(found["validation"])


def test_drawn_fixed_negatives_are_said_and_shared_by_both_splits(
    tmp_path, users
):
    write_timelines(tmp_path, users, num_negatives=0)
    source, found = read(tmp_path)
    assert any("seed 1" in note for note in source.report.notes)
    for one, other in zip(found["validation"], found["test"], strict=True):
        assert len(negatives(one)) == 99
        assert sorted(negatives(one)) == sorted(negatives(other))


def test_popularity_knows_no_target(tmp_path, users):
    """Nobody's last two items are counted, nor the request's own target."""
    write_timelines(tmp_path, users)
    _, found = read(tmp_path)
    events = collections.Counter(i for v in users.values() for i in v[:-2])
    for split, requests in found.items():
        for request in requests:
            target = positive(request)
            expected = [
                events[item] - (split == "train" and item == target)
                for item in request["item_id"].tolist()
            ]
            np.testing.assert_allclose(
                request["item_dense"][:, 0], np.log1p(expected), rtol=1e-6
            )


def test_evaluation_targets_change_no_training_request(tmp_path, users):
    """A planted leak: other targets of the same items, the same training."""
    write_timelines(tmp_path / "a", users, num_negatives=0)
    swapped = {u: [*v[:-2], v[-1], v[-2]] for u, v in users.items()}
    write_timelines(tmp_path / "b", swapped, num_negatives=0)
    options = {"num_negatives": 5}
    _, one = read(tmp_path / "a", **options)
    _, other = read(tmp_path / "b", **options)
    for left, right in zip(one["train"], other["train"], strict=True):
        for name, value in left.items():
            np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_places_of_positives_tell_nothing(tmp_path, users):
    write_timelines(tmp_path, users)
    places = collections.Counter()
    for seed in range(20):
        _, found = read(tmp_path, seed=seed)
        for request in found["train"]:
            places[int(request["labels"][:, 0].argmax())] += 1
    mean = places.total() / 6
    assert all(abs(places[n] - mean) < 6 * mean**0.5 for n in range(6))


def test_draws_depend_on_seed_and_user_alone(tmp_path, users):
    write_timelines(tmp_path, users)
    _, one = read(tmp_path)
    _, same = read(tmp_path)
    _, fewer = read(tmp_path, validation_users=3)
    _, other = read(tmp_path, seed=2)
    ids = [r["item_id"].tolist() for r in one["train"]]
    assert ids == [r["item_id"].tolist() for r in same["train"]]
    assert ids == [r["item_id"].tolist() for r in fewer["train"]]
    assert ids != [r["item_id"].tolist() for r in other["train"]]
    assert len(fewer["validation"]) == 3
    assert len(fewer["test"]) == len(users)


def test_short_users_are_left_out_and_counted(tmp_path, users):
    users = {"short": [1, 2], **users}
    write_timelines(tmp_path, users)
    source, found = read(tmp_path)
    assert source.report.counts["left out: users of under 3 events"] == 1
    assert found["test"][0]["user_id"] == "u0"
    # The rows of negatives are those of the lines.
    stored = np.load(tmp_path / "Tiny_negatives.npz")["negatives"]
    assert sorted(negatives(found["test"][0])) == sorted(stored[1])


def test_several_data_sets_need_a_name(tmp_path, users):
    write_timelines(tmp_path, users, "One")
    write_timelines(tmp_path, users, "Two")
    for options in ({}, {"dataset": "Three"}):
        with pytest.raises(DataError, match="--dataset: One, Two"):
            open_source("sequences", tmp_path, **options)
    assert len(read(tmp_path, dataset="Two")[1]["test"]) == len(users)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u9x", "line 3: no user with items: 'u9x'"),
        ("", "line 3: no user with items: ''"),
        ("x 1 2 three 4", "line 3: column `item 3` .* Got: 'three'"),
        ("x 1 2 0 4", "line 3: column `item 3` .* Got: '0'"),
        ("x 1 -2 3 4", "line 3: column `item 2` .* Got: '-2'"),
        (f"x 1 2 {1 << 63}", "line 3: item id 9223372036854775808 is above"),
        ("u0 1 2 3 4", "line 3: user 'u0' has another line"),
        ("x " + " ".join(map(str, range(1, 151))), "line 3: .* too few for"),
    ],
)
def test_bad_lines_are_named_or_skipped(tmp_path, users, line, message):
    path = write_timelines(tmp_path, users, num_negatives=0)
    lines = path.read_text().splitlines()
    lines.insert(2, line)
    path.write_text("".join(f"{text}\n" for text in lines))
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    source, found = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1
    assert len(found["test"]) == len(users)


def test_the_last_line_needs_no_newline(tmp_path, users):
    path = write_timelines(tmp_path, users)
    whole, before = read(tmp_path)
    path.write_bytes(path.read_bytes().rstrip())
    source, found = read(tmp_path)
    assert len(found["test"]) == len(before["test"]) == len(users)
    assert found["test"][-1]["request_id"] == before["test"][-1]["request_id"]
    assert not any("newline" in note for note in whole.report.notes)
    assert any("line 60, the last," in note for note in source.report.notes)


def test_a_cut_file_is_named(tmp_path, users):
    path = write_timelines(tmp_path, users)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-5])[:-3])
    with pytest.raises(DataError, match="for each of the 55 lines"):
        read(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"Tiny\.txt: the file is empty"):
        read(tmp_path)


def test_the_catalogue_is_what_evaluation_sees(tmp_path, users):
    write_timelines(tmp_path, users)
    source, found = read(tmp_path)
    catalogue = source.catalogue
    assert sorted(catalogue) == ["attribute_ids", "item_dense", "item_id"]
    everything = {item for items in users.values() for item in items}
    assert catalogue["item_id"].tolist() == sorted(everything)
    rows = {item: row for row, item in enumerate(catalogue["item_id"])}
    for request in found["test"]:
        for place, item in enumerate(request["item_id"].tolist()):
            for name, column in catalogue.items():
                np.testing.assert_array_equal(
                    request[name][place], column[rows[item]]
                )
    source, _ = read(tmp_path, popularity=False, max_attributes=0)
    assert list(source.catalogue) == ["item_id"]


@pytest.mark.parametrize("most", [1, 2, 8])
def test_the_rarest_attributes_are_kept(tmp_path, users, most):
    write_timelines(tmp_path, users)
    path = tmp_path / "Tiny_item2attributes.json"
    stored = json.loads(path.read_text())
    everything = sorted({item for items in users.values() for item in items})
    del stored[str(everything[0])]
    stored[str(everything[1])] = [9, 9, 3]
    stored["99999"] = [1, 2, 3]  # of no user
    path.write_text(json.dumps(stored))
    source, found = read(tmp_path, max_attributes=most)
    own = {item: set(stored.get(str(item), [])) for item in everything}
    count = collections.Counter(a for one in own.values() for a in one)
    expected = {
        item: sorted(one, key=lambda a: (count[a], a))[:most]
        for item, one in own.items()
    }
    validator = RequestValidator(source.schema)
    for request in [r for requests in found.values() for r in requests]:
        checked = validator.check(request)
        for prefix in ("", "click_"):
            for item, values in zip(
                checked[f"{prefix}item_id"].tolist(),
                checked[f"{prefix}attribute_ids"].tolist(),
                strict=True,
            ):
                assert [a for a in values if a] == expected[item]
    cut = sum(len(one) > most for one in own.values())
    lost = count.total() - sum(map(len, expected.values()))
    (note,) = [n for n in source.report.notes if n.startswith("Attributes")]
    assert f"1 of {len(own)} items have none, {cut} more than {most}" in note
    assert f"{lost} of {count.total()} are left out" in note


def test_attributes_may_be_missing_or_empty(tmp_path, users):
    write_timelines(tmp_path, users, attributes=False)
    source, found = read(tmp_path)
    assert [c.name for c in source.schema.item_columns] == ["item_id"]
    assert "attribute_ids" not in found["test"][0]
    assert any("no attributes" in note for note in source.report.notes)
    (tmp_path / "Tiny_item2attributes.json").write_text("{}")
    assert len(read(tmp_path)[0].schema.item_columns) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "json: not JSON"),
        ("[1]", "json: no object of items"),
        ('{"3": 4}', "item '3': must have a list .* Got: 4"),
        ('{"3": [1, "a"]}', r"item '3': .* Got: \[1, 'a'\]"),
        ('{"3": [0]}', r"item '3': .* Got: \[0\]"),
        ('{"3": [true]}', r"item '3': .* Got: \[True\]"),
        (f'{{"3": [{1 << 63}]}}', r"item '3': .* Got: \[9223372036854775808"),
    ],
)
def test_bad_attributes_are_named(tmp_path, users, text, message):
    write_timelines(tmp_path, users)
    (tmp_path / "Tiny_item2attributes.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_bad_negatives_are_named(tmp_path, users):
    write_timelines(tmp_path, users)
    path = tmp_path / "Tiny_negatives.npz"
    stored = np.load(path)["negatives"]
    whole = path.read_bytes()

    def refused(message, **arrays):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            read(tmp_path)

    refused(r"each of the 60 lines of .*\(59, 9\)", negatives=stored[:-1])
    refused(r"the least is 0", negatives=stored * 0)
    refused(r"float64", negatives=stored * 1.0)
    refused(r"\(540,\)", negatives=stored.ravel())
    refused(r"array `negatives`", other=stored)
    touched = stored.copy()
    touched[4, 2] = users["u4"][-1]
    refused(
        rf"line 5: .*npz: row 4: {touched[4, 2]} is no negative, user 'u4'",
        negatives=touched,
    )
    source, found = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1
    assert len(found["test"]) == len(users) - 1
    for content in (whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"npz: .*not a NumPy archive"):
            read(tmp_path)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
@pytest.mark.parametrize(
    ("name", "num_users", "num_items", "num_events"),
    [
        ("Beauty", 22_363, 12_101, 198_502),
        pytest.param(
            *("Toys_and_Games", 19_412, 11_924, 167_597), marks=pytest.mark.slow
        ),
    ],
)
def test_shared_data(name, num_users, num_items, num_events):
    source = open_source("sequences", SHARED, dataset=name)
    assert len(source.timelines) == num_users
    assert source.items.tolist() == list(range(1, num_items + 1))
    assert source.report.counts["events"] == num_events
    assert source.schema.max_candidates == 100
    counts = collections.Counter(split for split, _ in source.requests())
    assert counts == {
        "train": num_events - 3 * num_users,
        "validation": num_users,
        "test": num_users,
    }
