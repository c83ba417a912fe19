"""Ranking impressions: whole histories, true labels, nothing silent."""

import gzip
import random

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.sources import open_source
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError
from tests.data.sources.small_logs import IDS, impression, write_ranking

MASKS = {
    kind: [float(place == index) for place in range(5)]
    for index, kind in enumerate((0, 1, 2, 4, 5))
}


def read(folder, **options):
    source = open_source("jd_ranking", folder, **options)
    return source, list(source.requests())


def write(folder, *examples, **options):
    return write_ranking(folder / "part-r-0.tfrecord.gz", examples, **options)


def only(folder, *examples):
    """The request that some records make."""
    write(folder, *examples)
    source, found = read(folder)
    assert len(found) == 1
    RequestValidator(source.schema).check(found[0][1])
    return found[0][1]


def test_histories_become_newest_first(tmp_path):
    request = only(tmp_path, impression(lengths=(3, 2, 1)))
    assert request["click_item_id"].tolist() == [
        b"clksku2",
        b"clksku1",
        b"clksku0",
    ]
    assert request["click_category_id"][0] == b"clkc32"
    assert request["click_parent_category_id"][0] == b"clkc22"
    assert request["click_event_time"].tolist() == [-800, -900, -1000]
    assert request["order_shop_id"].tolist() == [b"ordshop1", b"ordshop0"]
    assert request["cart_brand_id"].tolist() == [b"cartbrand0"]
    assert request["item_id"].tolist() == [b"5"]
    assert request["item_dense"].tolist() == [[0.0, -0.5]]
    assert (request["position"], request["page"]) == (12, 2)


def test_unknow_alone_is_no_history(tmp_path):
    request = only(tmp_path, impression(lengths=(0, 2, 0)))
    assert len(request["click_item_id"]) == len(request["cart_shop_id"]) == 0
    assert len(request["order_item_id"]) == 2


def test_unknow_among_ids_is_an_id(tmp_path):
    changes = {"clk_seq_brand_7d_50": [b"unknow", b"7", b"unknow"]}
    request = only(tmp_path, impression(**changes))
    assert request["click_brand_id"].tolist() == [b"unknow", b"7", b"unknow"]


@pytest.mark.parametrize("suffix", ["12m_10", "12m_50", "3m_7"])
def test_the_order_history_is_found_by_what_is_there(tmp_path, suffix):
    write(tmp_path, impression(order_suffix=suffix))
    source, [(_, request)] = read(tmp_path)
    assert len(request["order_item_id"]) == 2
    lengths = {b.name: b.max_length for b in source.schema.behaviors}
    assert lengths["order"] == int(suffix.split("_")[1])


@pytest.mark.parametrize("short", [*IDS, "ts", "len"])
@pytest.mark.parametrize("prefix", ["clk_seq_{}_7d_50", "ord_seq_{}_12m_10"])
def test_a_missing_history_column_is_an_error(tmp_path, prefix, short):
    name = prefix.format(short)
    path = write(tmp_path, impression(), impression(1, **{name: None}))
    with pytest.raises(
        DataError, match=f"{path}: record 1: no column `{name}`"
    ):
        read(tmp_path)
    source, found = read(tmp_path, max_bad_records=1)
    assert (source.report.bad_records, len(found)) == (1, 1)
    write(tmp_path, impression(**{name: None}))
    with pytest.raises(
        DataError, match=f"record 0: .*{name.split('_')[0]}_seq"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ord_seq_c3_12m_10": [b"1"]}, "`ord_seq_c3_12m_10` has 1 events"),
        ({"ord_seq_len_12m_10": [b"9.0"]}, "states 9.0 events, there are 2"),
        ({"clk_seq_len_7d_50": [b"unknow"]}, "states 0 events, there are 3"),
        ({"cart_seq_len_12m_10": [b"4"]}, "states 4.0 events, there are 1"),
        ({"clk_seq_ts_7d_50": [b"1", b"2", b"3"]}, "oldest first"),
        ({"clk_seq_ts_7d_50": [b"3", b"2", b"-1"]}, "seconds before"),
        ({"clk_seq_ts_7d_50": [b"3", b"x", b"1"]}, "must hold numbers"),
        ({"features": [0.0]}, "`features` must hold 2"),
        ({"features": [0.0, float("nan")]}, "finite"),
        ({"label": [3.0]}, "`label` must be one of"),
        ({"label": [1.0]}, "`label` is 1.0, `mask` is of class 0"),
        ({"mask": [1.0, 1.0, 0.0, 0.0, 0.0]}, "one-hot"),
        ({"pos": [b"0"]}, "`pos` must be at least 1"),
        ({"page": None}, "no column `page`"),
        ({"item_fea_sku": [b"1", b"2"]}, "item_fea_sku"),
        ({"label": [b"1"]}, "must be a float_list"),
    ],
)
def test_bad_records_are_named(tmp_path, changes, message):
    path = write(tmp_path, impression(), impression(1, **changes))
    with pytest.raises(DataError, match=f"{path}: record 1: .*{message}"):
        read(tmp_path)


def test_a_cart_length_may_be_that_of_the_neighbouring_exposures(tmp_path):
    request = only(tmp_path, impression(cart_seq_len_12m_10=[b"2"]))
    assert len(request["cart_item_id"]) == 1


@pytest.mark.parametrize("kind", [0, 1, 2, 4, 5])
def test_labels(tmp_path, kind):
    expected = [[float(kind > 0), float(kind > 2)]]
    clicked = [float(kind > 0)]
    masked = only(tmp_path / "a", impression(label=clicked, mask=MASKS[kind]))
    assert masked["labels"].tolist() == expected
    described = only(tmp_path / "b", impression(label=[float(kind)], mask=None))
    assert described["labels"].tolist() == expected


def test_records_of_one_moment_are_one_request(tmp_path):
    same = [
        impression(7, page=[b"%d" % (n + 1)], item_fea_sku=[b"%d" % n])
        for n in range(5)
    ]
    others = [impression(n) for n in range(3)]
    empty = [impression(n, lengths=(0, 0, 0)) for n in range(2)]
    write(tmp_path, *others, *same, *empty)
    source, found = read(tmp_path, max_candidates=3)
    validator = RequestValidator(source.schema)
    sizes = []
    for _, request in found:
        validator.check(request)
        sizes.append(len(request["item_id"]))
    assert sizes == [1, 1, 1, 3, 2, 1, 1]
    assert found[3][1]["page"].tolist() == [1, 2, 3]
    assert found[3][1]["labels"].shape == (3, 2)
    # No request shows an item twice.
    write(tmp_path, same[0], same[1], same[0])
    sizes = [len(request["item_id"]) for _, request in read(tmp_path)[1]]
    assert sizes == [2, 1]


def test_positions_beyond_the_last_one_share_it(tmp_path):
    request = only(tmp_path, impression(pos=[b"9000"], page=[b"900"]))
    assert (request["position"], request["page"]) == (400, 100)


def test_folders_name_the_split(tmp_path):
    for name in ("train_0", "Validation", "test_ord"):
        examples = [impression(n) for n in range(20)]
        write_ranking(tmp_path / name / "part-0", examples, compress=False)
    for split, request in read(tmp_path)[1]:
        name = request["request_id"].split("/")[0]
        allowed = {
            "train_0": {"train", "validation"},
            "Validation": {"validation"},
            "test_ord": {"test"},
        }
        assert split in allowed[name]


def test_the_split_follows_the_seed(tmp_path):
    write(tmp_path, *(impression(n) for n in range(200)))

    def splits(seed):
        return [split for split, _ in read(tmp_path, seed=seed)[1]]

    assert splits(1) == splits(1) != splits(2)
    assert 30 < splits(1).count("test") < 90


# Damage --------------------------------------------------------------------


def test_a_gzip_file_cut_anywhere_is_named(tmp_path):
    path = write(tmp_path, *(impression(n) for n in range(6)))
    whole = path.read_bytes()
    sizes = [len(whole) - n for n in (1, 4, 8, 9)]
    sizes += random.Random(0).sample(range(1, len(whole) - 9), 15)
    for size in sizes:
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"{path}: record \d"):
            read(tmp_path)


def test_a_plain_file_cut_inside_a_record_is_named(tmp_path):
    path = write(tmp_path, *(impression(n) for n in range(6)), compress=False)
    whole = path.read_bytes()
    for size in random.Random(0).sample(range(1, len(whole)), 10):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"{path}: record \d"):
            read(tmp_path)
    source, found = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1
    assert len(found) <= 5


@pytest.mark.parametrize("compress", [True, False])
def test_a_changed_byte_is_noticed(tmp_path, compress):
    path = write(
        tmp_path, *(impression(n) for n in range(6)), compress=compress
    )
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"{path}: record \d"):
        read(tmp_path)


def test_what_is_no_tfrecord_is_named(tmp_path):
    path = tmp_path / "part-0"
    for content, message in (
        (b"", "the file is empty"),
        (b"user,item\n1,2\n", "record 0"),
        (gzip.compress(b""), "no records"),
        (gzip.compress(b"user,item\n1,2\n" * 9), "record 0"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}: .*{message}"):
            read(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"no jd_ranking files.*holds nothing"):
        read(tmp_path)


# The published sample ------------------------------------------------------


@pytest.fixture(scope="module")
def real(data_dir):
    folder = data_dir / "jd_ranking_examples"
    source, found = read(folder)
    (path,) = folder.glob("*.gz")
    records = tf.data.TFRecordDataset(str(path), "GZIP")
    return (
        source,
        found,
        [
            tf.train.Example.FromString(r).features.feature
            for r in records.as_numpy_iterator()
        ],
    )


def test_real_histories_are_as_long_as_the_file_says(real):
    source, found, raw = real
    validator = RequestValidator(source.schema)
    assert source.report.bad_records == 0
    assert len(found) == len(raw) == 240
    events = dict.fromkeys(("click", "order", "cart"), 0)
    for (_, request), feature in zip(found, raw, strict=True):
        validator.check(request)
        for behavior, column in (
            ("click", "clk_seq_{}_7d_50"),
            ("order", "ord_seq_{}_12m_10"),
            ("cart", "cart_seq_{}_12m_10"),
        ):
            ids = list(feature[column.format("sku")].bytes_list.value)
            ids = [] if ids == [b"unknow"] else ids
            assert request[f"{behavior}_item_id"].tolist() == ids[::-1]
            events[behavior] += len(ids)
            if behavior == "cart":
                continue
            (stated,) = feature[column.format("len")].bytes_list.value
            stated = 0 if stated == b"unknow" else int(float(stated))
            for name in source.schema.item_columns:
                assert len(request[f"{behavior}_{name.name}"]) == stated
            ages = -request[f"{behavior}_event_time"]
            assert len(ages) == stated
            if stated:
                oldest = feature[column.format("ts")].bytes_list.value[0]
                assert ages[-1] == float(oldest)
    # The order history is where the classic mistake would show.
    empty = sum(not len(r["order_item_id"]) for _, r in found)
    assert empty == 10
    assert events["order"] > 1900


def test_real_cart_lengths_are_those_of_the_exposures(real):
    """The adapter accepts these lengths in that one column alone."""
    agree = wrong = 0
    for feature in real[2]:
        (stated,) = feature["cart_seq_len_12m_10"].bytes_list.value
        near = feature["near_expo_seq_sku"].bytes_list.value
        cart = feature["cart_seq_sku_12m_10"].bytes_list.value
        agree += int(stated) == sum(value != b"unknow" for value in near)
        wrong += int(stated) != sum(value != b"unknow" for value in cart)
    assert agree == 240
    assert wrong > 200


def test_real_labels(real):
    labels = np.concatenate([request["labels"] for _, request in real[1]])
    assert labels.sum(axis=0).tolist() == [22, 10]
    stored = [feature["label"].float_list.value[0] for feature in real[2]]
    assert labels[:, 0].tolist() == stored


def test_real_records_are_moments_of_their_own(real):
    assert {len(request["item_id"]) for _, request in real[1]} == {1}
    assert len({split for split, _ in real[1]}) == 3
