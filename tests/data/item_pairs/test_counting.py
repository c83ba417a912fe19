"""Pairs of the job against dicts, and what no request may see."""

import collections
import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jd_tf.data import (
    ItemPairs,
    make_item_pairs,
    numpy_batches,
    pair_features,
    write_dataset,
)
from jd_tf.data.item_pairs import counting
from jd_tf.data.item_pairs.item_pairs import ColumnPairs
from jd_tf.data.item_pairs.training_parts import PART, TrainingParts
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.schema import DataError
from tests.data.item_pairs.pair_logs import (
    SCHEMA,
    counted_pairs,
    damped,
    random_log,
    write_log,
)

KINDS = ("click:click", "cart:cart", "click:cart")


@pytest.fixture(scope="module")
def log():
    return random_log(12, 6, 30)


def weights_of(pairs, column, part, kind):
    """The table of a part, -1 for all events, as a dict of keys."""
    stored = pairs.columns[column]
    codes, weights, table = stored.codes, stored.weights, kind
    if part >= 0:
        codes, weights = stored.part_codes, stored.part_weights
        table += part * len(pairs.kinds)
    mine = codes >> 52 == table
    rows = (codes[mine] >> 26) % 2**26, codes[mine] % 2**26
    found = zip(*(stored.keys[row].tolist() for row in rows), strict=True)
    return dict(zip(found, weights[mine].tolist(), strict=True))


def keyed(weights, dtype):
    """Raw ids of pairs as keys."""
    return {
        tuple(id_keys(np.array(pair), dtype, "").numpy().tolist()): weight
        for pair, weight in weights.items()
    }


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize(
    "held", [1 << 26, pytest.param(400, marks=pytest.mark.slow)]
)
def test_equals_dicts(clock, held, tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "_MAX_HELD", held)
    requests = random_log(12, 6, 30, clock=clock)
    data = write_log(tmp_path / "data", {"train": requests})
    pairs = make_item_pairs(
        data, ("item_id", "brand"), KINDS, window=3, num_parts=3
    )
    rule = pairs.parts
    assert rule.leave_out == ("time" if clock else "user")

    def part_of(request):
        user, time = [request["user_id"]], [request["request_time"]]
        return int(rule.of(user, time)[0])

    parts = {part_of(request) for request in requests}
    assert parts == {0, 1, 2}
    for column in ("item_id", "brand"):
        dtype = SCHEMA.column(column).dtype
        for number, kind in enumerate(KINDS):
            counts = counted_pairs(requests, kind, column, 3, part_of)
            scale = None
            for table in (3, 0, 1, 2):
                read = {}
                for (part, *pair), count in counts.items():
                    mine = part < table if clock else part != table
                    if table == 3 or mine:
                        key = tuple(pair)
                        read[key] = read.get(key, 0) + count
                expected = keyed(damped(read, 0.7, 0.25), dtype)
                scale = scale or np.mean(list(expected.values()))
                found = weights_of(
                    pairs, column, table % 4 - 4 * (table == 3), number
                )
                assert found.keys() == expected.keys()
                assert bool(found) == (table > 0 or not clock)
                for pair, weight in expected.items():
                    assert found[pair] == pytest.approx(weight / scale, 1e-5)


def test_strongest_neighbours_stay(log, tmp_path):
    data = write_log(tmp_path / "data", {"train": log})
    all_pairs = make_item_pairs(data, target_damping=0.5)
    strongest = make_item_pairs(data, target_damping=0.5, num_neighbors=2)
    whole = weights_of(all_pairs, "item_id", -1, 0)
    kept = weights_of(strongest, "item_id", -1, 0)
    ratio = next(iter(kept.values())) / whole[next(iter(kept))]
    for item in {pair[0] for pair in whole}:
        theirs = {p: w for p, w in whole.items() if p[0] == item}
        mine = {p: w / ratio for p, w in kept.items() if p[0] == item}
        best = sorted(theirs.values())[-2:]
        np.testing.assert_allclose(sorted(mine.values()), best, rtol=1e-5)
        assert mine.keys() <= theirs.keys()


def test_walks_of_two_steps(log, tmp_path):
    """Against loops over the table of the first step."""
    data = write_log(tmp_path / "data", {"train": log})
    pairs = make_item_pairs(data, kinds=KINDS[:2], num_parts=3, two_steps=True)
    once = make_item_pairs(data, kinds=KINDS[:2], num_parts=3)
    names = [KINDS[0], f"{KINDS[0]}/2", KINDS[1], f"{KINDS[1]}/2"]
    assert list(pairs.kinds) == names
    for kind in (0, 1):
        scale = None
        for part in (-1, 0, 1, 2):
            first = weights_of(pairs, "item_id", part, 2 * kind)
            assert first == weights_of(once, "item_id", part, kind)
            leave, into = collections.Counter(), collections.Counter()
            for (event, target), weight in first.items():
                leave[event] += weight
                into[target] += 1
            walks = collections.Counter()
            for (event, over), weight in first.items():
                for (start, target), further in first.items():
                    if start == over and target != event:
                        chance = weight / leave[event] * further / leave[over]
                        walks[event, target] += chance / into[target] ** 0.5
            if scale is None:
                scale = np.mean(list(walks.values()))
            found = weights_of(pairs, "item_id", part, 2 * kind + 1)
            assert found.keys() == walks.keys()
            for pair, weight in found.items():
                np.testing.assert_allclose(weight, walks[pair] / scale, 1e-5)
    assert pairs.model_fields()["kinds"] == tuple(names)


def auc(data, pairs, split, parts):
    """Of the root of the pair feature, over all candidates."""
    scores, labels = [], []
    for batch in numpy_batches(data, split, 64, keys=True):
        if parts:
            marks = pairs.parts.of(batch["user_id"], batch["request_time"])
            batch[PART] = marks.numpy()
        scores.append(pair_features(batch, pairs, SCHEMA)[..., 1].ravel())
        labels.append(batch["labels"][..., 0].ravel())
    return roc_auc_score(np.concatenate(labels), np.concatenate(scores))


@pytest.mark.slow
@pytest.mark.parametrize("clock", [True, False])
def test_random_targets_cannot_be_told(clock, tmp_path):
    """The planted leak: their own event would tell them."""
    log = random_log(300, 5, 500, clock=clock, rate=0.2)
    test = random_log(300, 5, 500, seed=2, clock=clock, rate=0.2)
    data = write_log(tmp_path / "data", {"train": log, "test": test})
    pairs = make_item_pairs(data)
    assert auc(data, pairs, "train", parts=False) > 0.9
    assert abs(auc(data, pairs, "train", parts=True) - 0.5) < 0.03
    assert abs(auc(data, pairs, "test", parts=False) - 0.5) < 0.03


def test_no_table_changes_by_what_it_must_not_see(tmp_path):
    """Other targets in a part, and later: its table stays as it is."""
    log = random_log(12, 6, 30)
    data = write_log(tmp_path / "data", {"train": log})
    pairs = make_item_pairs(data, num_parts=3)
    start = pairs.parts.boundaries[0]
    changed = []
    for request in log:
        request = dict(request)
        if request["request_time"] >= start:
            request["labels"] = request["labels"][::-1]
            recent = [time >= start for time in request["click_event_time"]]
            request["click_item_id"] = [
                99 if new else item
                for new, item in zip(
                    recent, request["click_item_id"], strict=True
                )
            ]
        changed.append(request)
    other = make_item_pairs(
        write_log(tmp_path / "other", {"train": changed}), num_parts=3
    )

    def scaled(one, table):
        found = weights_of(one, "item_id", table, 0)
        total = sum(found.values())
        return {pair: weight / total for pair, weight in found.items()}

    assert scaled(pairs, 1) == pytest.approx(scaled(other, 1), rel=1e-5)
    assert scaled(pairs, 2).keys() != scaled(other, 2).keys()


def test_file_keeps_everything(log, tmp_path):
    data = write_log(tmp_path / "data", {"train": log})
    pairs = make_item_pairs(data, ("brand", "item_id"), ("click:cart",))
    path = tmp_path / "some" / "pairs.npz"
    pairs.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["pairs.npz"]
    loaded = ItemPairs.load(path)
    assert loaded.model_fields() == pairs.model_fields()
    assert loaded.parts == pairs.parts
    assert loaded.meta["window"] == 20
    assert loaded.summary() == pairs.summary()
    assert "brand: 7 ids with" in pairs.summary()
    fewer = dataclasses.replace(pairs, kinds=("cart:cart",))
    assert fewer.model_fields()["digest"] != pairs.model_fields()["digest"]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"pairs\.npz: not an \.npz"):
        ItemPairs.load(path)
    np.savez(path, keys=np.ones(3))
    with pytest.raises(DataError, match=r"not a file of item pairs: 'meta'"):
        ItemPairs.load(path)
    with pytest.raises(DataError, match=r"no such file\. Make one with"):
        ItemPairs.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": [6, 4]}, "`keys` must be ids in ascending order"),
        ({"keys": [0, 4]}, "`keys` must be ids"),
        ({"codes": [2**26, 1]}, "`codes` must be pairs of `keys`, asc"),
        ({"codes": [1, 2]}, "`codes` must be pairs of `keys`"),
        ({"codes": [1, 2**27]}, "`codes` must be pairs of `keys`"),
        ({"codes": [0, 1]}, "`codes` must be pairs of `keys`"),
        ({"codes": [1, 2**52 + 1]}, "`codes` must be pairs of `keys`"),
        ({"part_codes": [2**53 + 1]}, "`part_codes` must be pairs"),
        ({"weights": [1.0]}, "`weights` must be finite, >= 0, one a pair"),
        ({"weights": [1.0, np.nan]}, "`weights` must be finite"),
        ({"part_weights": [-1.0]}, "`part_weights` must be finite"),
    ],
)
def test_wrong_tables_are_named(changes, message, tmp_path):
    fields = {
        "keys": [4, 6],
        "codes": [1, 2**26],
        "weights": [1.0, 2.0],
        "part_codes": [2**52 + 1],
        "part_weights": [1.0],
    }
    parts = TrainingParts("user", 2)

    def pairs_of(fields):
        arrays = {name: np.array(values) for name, values in fields.items()}
        table = {"item_id": ColumnPairs(**arrays)}
        return ItemPairs(table, ("click:click",), parts)

    path = tmp_path / "pairs.npz"
    pairs_of(fields).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for name, values in changes.items():
        arrays[f"item_id/{name}"] = np.array(values)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=rf"pairs\.npz: `item_id`: {message}"):
        ItemPairs.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": ("shop_id",)},
            "no item column `shop_id` .*item_id, brand",
        ),
        ({"kinds": ("click",)}, "kind `click` must be behaviour:objective"),
        ({"kinds": ("click:order",)}, "kind `click:order` .*click, cart"),
        ({"window": 0}, "`window` must be between 1 and 250. Got: 0"),
        ({"num_parts": 1}, "`num_parts` must be between 2"),
        ({"backwards": -1}, "`backwards` must be"),
        ({"leave_out": "time"}, "`request_time` 0, .* Pass --leave_out=user"),
        ({}, "no pairs of `item_id`"),
    ],
)
def test_unusable_requests_are_named(options, message, tmp_path):
    (request,) = random_log(1, 1, 9, clock=False, outside=0)
    data = tmp_path / "data"
    other = {**request, "request_id": "other"}
    write_dataset(data, SCHEMA, {"train": [request, other]})
    with pytest.raises(DataError, match=message):
        make_item_pairs(data, **options)
