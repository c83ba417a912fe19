"""Pages of a recommender, judged by the truth of the shop."""

import numpy as np
import pytest

from jd_tf.data import SimulatorConfig, make_dataset
from jd_tf.data.batches import numpy_batches
from jd_tf.data.simulator import Simulator
from jd_tf.data.simulator.simulator import SHOP_FILE
from jd_tf.pipeline.evaluation.logged_requests import read_logged
from jd_tf.pipeline.evaluation.shop_answers import pages_in_shop, shop_lines
from jd_tf.schema import DataError

SIZES = {"num_users": 60, "num_items": 150, "num_requests": 900}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "data"
    make_dataset(
        "simulator", folder, num_processes=1, session_worlds=True, **SIZES
    )
    return folder


def test_the_shop_of_a_folder_is_the_one_that_made_it(data, tmp_path):
    shop = Simulator.of_data(data)
    assert shop.config == SimulatorConfig(**SIZES, session_worlds=True)
    assert shop.behavior == Simulator(shop.config).behavior
    with pytest.raises(DataError, match="the data are of no shop"):
        Simulator.of_data(tmp_path)


def test_pages_are_worth_what_the_truth_says(data):
    requests = list(read_logged(data, "test", 0))
    worth = []
    by_id = {one.request_id: one for one in requests}
    values = [o.value for o in Simulator.of_data(data).schema.objectives]
    orders = {}
    for batch in numpy_batches(data, "test", 64, keys=True, oracle=True):
        for row, count in enumerate(batch["num_candidates"]):
            name = batch["request_id"][row].decode()
            relevance = batch["oracle_relevance"][row, :count] @ values
            orders[name] = np.argsort(-relevance, kind="stable")
            seen = batch["oracle_probabilities"][row, :count]
            worth.append((seen @ values).sum())
    best = [by_id[n].item_id[orders[n]] for n in by_id]
    pages = {"best": best, "worst": [page[::-1] for page in best]}
    found = pages_in_shop(data, requests, pages, np.arange(1, 151))
    assert list(found) == ["logged", "best", "worst", "ideal"]
    # No list of any items is worth more.
    assert found["ideal"]["low"] > found["best"]["high"]
    few = pages_in_shop(data, requests[:9], {}, requests[0].item_id)
    alone = pages_in_shop(data, requests[:1], {}, requests[0].item_id)
    top = {"top": [pages["best"][0]]}
    same = pages_in_shop(data, requests[:1], top, requests[0].item_id)
    assert alone["ideal"] == same["ideal"]
    assert same["ideal"]["value"] == pytest.approx(same["top"]["value"])
    assert set(few) == {"logged", "ideal"}
    assert found["logged"]["value"] == pytest.approx(np.mean(worth), rel=1e-5)
    assert found["best"]["low"] > 0 > found["worst"]["high"]
    for name in ("best", "worst"):
        row = found[name]
        difference = row["value"] - found["logged"]["value"]
        assert row["difference"] == pytest.approx(difference)
        assert row["low"] < difference < row["high"]
        own = sum(row[n] * v for n, v in zip(row, values, strict=False))
        assert own == pytest.approx(row["value"])
    lines = list(shop_lines(found))
    assert [line[0] for line in lines[1:]] == list(found)
    assert len({len(line) for line in lines}) == 1


def test_other_data_and_empty_pages_have_no_rows(data, tmp_path):
    requests = list(read_logged(data, "test", 5))
    empty = [one.item_id[:0] for one in requests]
    found = pages_in_shop(data, requests, {"none": empty}, np.array([3, 5]))
    assert list(found) == ["logged", "ideal"]
    assert not (tmp_path / SHOP_FILE).exists()
    assert pages_in_shop(tmp_path, requests, {}, np.array([3])) == {}
    assert not list(shop_lines({}))
