"""Every channel through the contract, and each against a loop."""

import numpy as np
import pytest
import scipy.sparse

from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.common_list import CommonList
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.neighbors import Neighbors, same_value_table
from jd_tf.schema import DataError
from tests.pipeline.recall.small_interactions import (
    random_histories,
    random_interactions,
)

CLICK = {"click": 1.0}


def item_neighbors(logs):
    return Neighbors("knn", co_occurrence_table(logs), CLICK, num_events=4)


def popular(logs):
    return CommonList("popular", logs.item_id, logs.popularity())


def newest(logs):
    return CommonList("newest", logs.item_id, logs.first_seen(), most=9)


def same_shop(logs):
    # Shops are items' own ids here, so that histories have the column.
    shop = logs.item_id[np.arange(len(logs.item_id)) // 5 * 5]
    table = same_value_table(shop, logs.item_id, logs.popularity())
    return Neighbors("same_shop", table, CLICK)


CHANNELS = [item_neighbors, popular, newest, same_shop]


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("make", CHANNELS)
def test_a_channel_keeps_the_contract(make, texts):
    logs = random_interactions(texts=texts)
    channel, histories = make(logs), random_histories(logs.item_id)
    padding = b"" if texts else 0
    excluded = np.stack([logs.item_id[[0, 2, 5, 2]]] * 9)
    excluded[:, 3] = padding
    for count in (1, 3, 500):
        found = channel.recall(histories, count, excluded)
        assert len(found) == 9
        assert found.item_id.dtype == logs.item_id.dtype
        for row in range(9):
            number = found.length[row]
            items = found.item_id[row, :number].tolist()
            assert number <= count
            assert len(set(items)) == number
            assert not {*excluded[row], padding} & {*items}
            assert (np.diff(found.score[row, :number]) <= 0).all()
            assert (found.item_id[row, number:] == padding).all()
            assert (found.score[row, number:] == -np.inf).all()
    whole = channel.recall(histories, 500)
    assert (whole.length >= found.length).all()
    assert isinstance(channel.name, str)


@pytest.mark.parametrize("make", CHANNELS)
def test_padding_is_not_read_and_requests_do_not_mix(make):
    logs = random_interactions()
    channel, histories = make(logs), random_histories(logs.item_id)
    found = channel.recall(histories, 5)
    other = dict(histories)
    beyond = np.arange(6) >= histories["click_length"][:, None]
    ids = histories["click_item_id"]
    other["click_item_id"] = np.where(beyond, logs.item_id[3], ids)
    again = channel.recall(other, 5)
    np.testing.assert_array_equal(found.item_id, again.item_id)
    for row in range(len(ids)):
        alone = channel.recall(
            {name: column[[row]] for name, column in histories.items()}, 5
        )
        number = found.length[row]
        assert alone.length[0] == number
        np.testing.assert_array_equal(
            alone.item_id[0, :number], found.item_id[row, :number]
        )


@pytest.mark.parametrize("texts", [False, True])
def test_neighbors_add_up_over_newest_events(texts):
    logs = random_interactions(texts=texts)
    table = co_occurrence_table(logs)
    histories = random_histories(logs.item_id)
    histories["cart_item_id"] = histories["click_item_id"][::-1]
    histories["cart_length"] = histories["click_length"][::-1]
    channel = Neighbors("knn", table, {"click": 1.0, "cart": 2.5}, num_events=4)
    found = channel.recall(histories, 500)
    weights = table.weights.toarray()
    row_of = {item: row for row, item in enumerate(table.item_id)}
    for request in range(9):
        scores = np.zeros(len(row_of))
        for behavior, factor in (("click", 1.0), ("cart", 2.5)):
            length = histories[f"{behavior}_length"][request]
            for place in range(min(length, 4)):
                item = histories[f"{behavior}_item_id"][request, place]
                if item in row_of:
                    scores += factor * weights[row_of[item]] / (1 + place)
        expected = {i: scores[r] for i, r in row_of.items() if scores[r] > 0}
        number = found.length[request]
        got = dict(
            zip(
                found.item_id[request, :number],
                found.score[request, :number],
                strict=True,
            )
        )
        assert got == pytest.approx(expected, rel=1e-5)


def test_items_of_a_shop_come_by_their_score():
    shops = np.array([3, 4, 3, 0, 4, 3])
    items = np.array([1, 2, 5, 6, 7, 8])
    table = same_value_table(shops, items, np.array([5, 2, 9, 50, 4, 1]), 2)
    channel = Neighbors("same_shop", table, CLICK, column="shop_id")
    found = channel.recall(
        {
            "click_shop_id": np.array([[3, 4], [4, 3], [0, 9]]),
            "click_length": np.array([2, 1, 2]),
        },
        3,
    )
    # 9/9 and 5/9 of the newest event's shop, half of 4/4 and 2/4.
    assert found.item_id.tolist() == [[5, 1, 7], [7, 2, 0], [0, 0, 0]]
    np.testing.assert_allclose(found.score[0], [1, 5 / 9, 1 / 2])


def test_items_of_several_categories_are_in_each():
    categories = np.array([[1, 2], [2, 0], [2, 2]])
    items = np.array([11, 12, 13])
    table = same_value_table(categories, items, np.array([3.0, 2.0, 1.0]))
    assert table.key_id.tolist() == [1, 2]
    np.testing.assert_allclose(
        table.weights.toarray(), [[1, 0, 0], [1, 2 / 3, 1 / 3]], rtol=1e-6
    )
    channel = Neighbors("category", table, CLICK, column="tag_id")
    found = channel.recall(
        {
            "click_tag_id": np.array([[[1, 2], [1, 0]]]),
            "click_length": np.array([1]),
        },
        3,
    )
    np.testing.assert_allclose(found.score[0], [2, 2 / 3, 1 / 3], rtol=1e-6)


def test_a_catalogue_without_shops_is_an_error():
    with pytest.raises(DataError, match="no item"):
        same_value_table(np.zeros(2, int), np.array([1, 2]), np.ones(2))


def test_excluded_items_make_room_for_the_next():
    channel = CommonList("new", np.arange(1, 9), np.arange(8))
    histories = {"click_length": np.zeros(2, np.int32)}
    excluded = np.array([[8, 7, 3, 0], [99, 0, 0, 0]])
    found = channel.recall(histories, 2, excluded)
    assert found.item_id.tolist() == [[6, 5], [8, 7]]


def test_kinds_of_ids_do_not_mix():
    ids = np.array([1, 2])
    table = NeighborTable(ids, ids, scipy.sparse.identity(2).tocsr())
    texts = {
        "click_item_id": np.array([[b"1"]], object),
        "click_length": np.ones(1, np.int32),
    }
    with pytest.raises(TypeError, match="numbers in one array"):
        Neighbors("knn", table, CLICK).recall(texts, 3)
