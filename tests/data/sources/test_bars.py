"""Files of BARS' data sets as requests: made lines of the exact format."""

import collections

import numpy as np
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.sources import open_source
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError

AMAZON = "label,user_id,item_id,cate_id,item_history,cate_history"
TAOBAO = (
    "clk,btag_his,cate_his,brand_his,userid,cms_segid,cms_group_id,"
    "final_gender_code,age_level,pvalue_level,shopping_level,occupation,"
    "new_user_class_level,adgroup_id,cate_id,campaign_id,customer,brand,"
    "price,pid,btag"
)
KUAI = (
    "timestamp,user_id,item_id,is_click,is_like,is_follow,pos_items,neg_items"
)


def write(folder, header, train, test, **others):
    for name, lines in {"train": train, "test": test, **others}.items():
        text = "\n".join([header, *lines])
        (folder / f"{name}.csv").write_text(f"{text}\n")
    return folder


def read(folder, **options):
    """Returns the source and split -> its requests, each valid."""
    source = open_source("bars", folder, **options)
    validator = RequestValidator(source.schema)
    found = collections.defaultdict(list)
    for split, request in source.requests():
        validator.check(request)
        found[split].append(request)
    return source, found


def amazon_lines(count):
    """Shuffled: no two lines of a user follow each other."""
    return [
        f"{n % 2},{n},{n + 1},7,{'^'.join(map(str, range(n)))},"
        f"{'^'.join('3' for _ in range(n))}"
        for n in range(1, 1 + count)
    ]


AMAZON_TEST = ["1,5,11,4,2^0^9,1^4^1", "0,5,12,6,2^0^9,1^4^1"]


def test_amazon_lines(tmp_path):
    write(tmp_path, AMAZON, amazon_lines(20), AMAZON_TEST)
    source, found = read(tmp_path)
    assert source.format.name == "AmazonElectronics_x1"
    assert {split: len(r) for split, r in found.items()} == {
        "train": 18,
        "validation": 2,
        "test": 1,
    }
    (request,) = found["test"]
    # Newest first; item 0 is an item.
    assert request["review_item_id"].tolist() == ["9", "0", "2"]
    assert request["review_category_id"].tolist() == ["1", "4", "1"]
    assert request["review_event_time"].tolist() == [-1, -2, -3]
    assert request["item_id"].tolist() == ["11", "12"]
    assert request["category_id"].tolist() == ["4", "6"]
    assert request["labels"].tolist() == [[1.0], [0.0]]
    assert request["user_id"] == "5"
    assert source.report.counts == {"impressions": 22, "requests": 21}


def test_a_file_of_validation_and_long_histories(tmp_path):
    lines = [amazon_lines(120)[-1]]
    write(tmp_path, AMAZON, lines, AMAZON_TEST, valid=AMAZON_TEST)
    source, found = read(tmp_path)
    assert {split: len(r) for split, r in found.items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    # Of 0 to 119 the newest hundred.
    newest = found["train"][0]["review_item_id"].tolist()
    assert newest == [str(n) for n in range(119, 19, -1)]
    assert source.schema.behaviors[0].max_length == 100


def taobao_line(click, ad, user="77", brand="0", price="3.5"):
    return (
        f"{click},1^1^4,8^9^8,20^0^21,{user},1,2,3,4,5,6,7,8,{ad},30,40,50,"
        f"{brand},{price},430548_1007,1"
    )


def test_taobao_lines(tmp_path):
    lines = [taobao_line(0, 100), taobao_line(1, 101, price="")]
    train = [*lines, taobao_line(0, 100), taobao_line(0, 5, user="8")] * 4
    write(tmp_path, TAOBAO, train, lines)
    source, found = read(tmp_path)
    assert source.format.name == "TaobaoAd_x1"
    # An ad shown again is another request.
    sizes = [len(request["item_id"]) for request in found["train"]]
    assert sizes[:3] == [2, 1, 1]
    (request,) = found["test"]
    assert request["browse_brand_id"].tolist() == ["21", "0", "20"]
    assert request["browse_btag_id"].tolist() == ["4", "1", "1"]
    # Events have no ad.
    assert request["browse_item_id"].tolist() == ["-", "-", "-"]
    assert request["scenario"] == "430548_1007"
    assert request["viewer_id"] == "77"
    assert request["new_user_class_level"] == "8"
    np.testing.assert_array_equal(request["item_dense"], [[3.5], [0.0]])
    _, found = read(tmp_path, max_candidates=1)
    assert [len(request["item_id"]) for request in found["test"]] == [1, 1]


def test_kuaishou_lines(tmp_path):
    lines = [
        "5,u1,300,1,0,0,10^11,12",
        "6,u1,301,0,1,0,10^11,12",
        "6,u1,302,0,0,0,10^11^300,12",
        "7,u2,303,0,0,1,,",
    ]
    write(tmp_path, KUAI, lines * 5, lines)
    source, found = read(tmp_path)
    assert source.schema.objective_names == ("click", "like", "follow")
    first, second, third = found["test"]
    assert first["labels"].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert first["click_item_id"].tolist() == ["11", "10"]
    assert second["click_item_id"].tolist() == ["300", "11", "10"]
    assert third["click_item_id"].tolist() == []
    assert third["skip_item_id"].tolist() == []


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        (AMAZON, "2,1,2,3,4,5", "`label` must be 0 or 1. Got: '2'"),
        (AMAZON, "1,1,2,3,4^5,6", "must have as many events"),
        (AMAZON, "1,1,2,3,4", "5 columns, the header has 6"),
        (TAOBAO, taobao_line(1, 1, price="x"), "`price`: could not convert"),
    ],
)
def test_bad_lines_are_named(tmp_path, header, line, message):
    good = AMAZON_TEST if header == AMAZON else [taobao_line(1, 1)]
    write(tmp_path, header, [*good, line], good)
    with pytest.raises(DataError, match=r"train\.csv: line \d") as raised:
        read(tmp_path)
    assert message in str(raised.value)
    source, _ = read(tmp_path, max_bad_records=1)
    assert source.report.bad_records == 1


def test_folders_that_hold_something_else(tmp_path):
    with pytest.raises(DataError, match="no bars files"):
        read(tmp_path)
    write(tmp_path, "a,b", ["1,2"], ["1,2"])
    with pytest.raises(DataError, match="has the columns of no data set"):
        read(tmp_path)


def test_a_data_set_of_them(tmp_path):
    write(tmp_path, AMAZON, amazon_lines(30), AMAZON_TEST)
    summary = make_dataset("bars", tmp_path / "out", tmp_path)
    assert summary["splits"]["test"]["requests"] == 1
