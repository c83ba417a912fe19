"""Tests of `Catalogue`."""

import numpy as np
import pytest

from jd_tf.data import write_dataset
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.schema import DataError
from tests.requests import random_request, small_schema

SCHEMA = small_schema()
COLUMNS = ("item_id", "category_id", "brand_id", "tag_id", "item_dense")


def requests(count=40, seed=0):
    """Requests at different times that show the same items again."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        request = random_request(SCHEMA, generator, number)
        size = len(request["item_id"])
        request["item_id"] = generator.permutation(30)[:size] + 1
        request["request_time"] = 17 * 10**8 + int(generator.integers(10**6))
        made.append(request)
    return made


def test_an_item_is_as_it_was_seen_last(tmp_path):
    shown = requests()
    write_dataset(tmp_path / "data", SCHEMA, {"train": shown})
    found = Catalogue.of_records(tmp_path / "data", SCHEMA)
    newest = {}
    for request in sorted(shown, key=lambda r: r["request_time"]):
        for place, item in enumerate(request["item_id"].tolist()):
            newest[item] = {n: request[n][place] for n in COLUMNS}
    assert found.item_id.tolist() == sorted(newest)
    for row, item in enumerate(found.item_id.tolist()):
        mine = newest[item]
        assert found.columns["category_id"][row] == mine["category_id"]
        brand = mine["brand_id"]
        brand = brand if isinstance(brand, bytes) else brand.encode()
        assert found.columns["brand_id"][row] == brand
        tags = found.columns["tag_id"][row]
        assert tags[tags != 0].tolist() == list(mine["tag_id"])
        np.testing.assert_allclose(
            found.columns["item_dense"][row], mine["item_dense"], rtol=1e-6
        )


def test_a_catalogue_survives_its_file(tmp_path):
    write_dataset(tmp_path / "data", SCHEMA, {"train": requests()})
    made = Catalogue.of_records(tmp_path / "data", SCHEMA)
    made.save(tmp_path / "catalogue.npz")
    loaded = Catalogue.load(tmp_path / "catalogue.npz")
    assert loaded.columns.keys() == made.columns.keys()
    for name, column in made.columns.items():
        assert loaded.columns[name].dtype == column.dtype, name
        np.testing.assert_array_equal(loaded.columns[name], column)
    with pytest.raises(DataError, match="no such file"):
        Catalogue.load(tmp_path / "other.npz")


@pytest.mark.parametrize("texts", [False, True])
def test_rows_and_candidates_are_found_by_id(texts):
    ids = np.array([30, 10, 20])
    if texts:
        ids = np.array([b"30", b"10", b"20"], object)
    made = Catalogue({"item_id": ids, "price": np.array([3.0, 1.0, 2.0])})
    assert len(made) == 3
    assert made.rows(ids[[0, 1]]).tolist() == [2, 0]
    asked = ids[[[0, 2], [1, 1]]]
    assert made.candidates(asked)["price"].tolist() == [[3, 2], [1, 1]]
    unknown = (
        np.array([[b"15", b"99", b""]], object) if texts else [[15, 99, 0]]
    )
    assert made.rows(np.array(unknown)).tolist() == [[-1, -1, -1]]
    with pytest.raises(KeyError, match="15"):
        made.candidates(np.array(unknown))


def test_an_empty_catalogue_knows_nothing():
    made = Catalogue({"item_id": np.zeros(0, np.int64)})
    assert made.rows(np.array([[1, 2]])).tolist() == [[-1, -1]]


def test_what_does_not_fit_is_named(tmp_path):
    ids = np.array([1, 2, 1])
    with pytest.raises(DataError, match="item 1 stands twice"):
        Catalogue({"item_id": ids})
    with pytest.raises(DataError, match="`price` has 2 items, `item_id` 3"):
        Catalogue({"item_id": np.arange(3), "price": np.ones(2)})
    write_dataset(tmp_path / "data", SCHEMA, {"train": requests(3)})
    with pytest.raises(DataError, match="validation"):
        Catalogue.of_records(tmp_path / "data", SCHEMA, "validation")
