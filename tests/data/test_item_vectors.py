"""Item vectors: what is refused, and the way through a file."""

import numpy as np
import pytest

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.schema import DataError

IDS = np.array([3, 1, 2])
VECTORS = np.arange(12, dtype="float32").reshape(3, 4)


@pytest.mark.parametrize("ids", [IDS, np.array(["a", "b", "ccc"])])
def test_survives_a_file(tmp_path, ids):
    path = tmp_path / "vectors.npz"
    ItemVectors(ids, VECTORS, {"backbone": "small_cnn"}).save(path)
    found = ItemVectors.load(path)
    np.testing.assert_array_equal(found.item_ids, ids)
    np.testing.assert_array_equal(found.vectors, VECTORS)
    assert found.meta == {"backbone": "small_cnn"}
    assert (found.width, len(found)) == (4, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["vectors.npz"]


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (IDS.astype("int32"), VECTORS, "`item_ids` is int32"),
        (IDS.astype(object), VECTORS, "`item_ids` is object"),
        (IDS[None], VECTORS, "must be one axis"),
        (IDS, VECTORS.astype("float64"), "`vectors` is float64"),
        (IDS, VECTORS[0], "must be .items, width. float32"),
        (IDS[:2], VECTORS, "has 3 rows for 2 item_ids"),
        (IDS[:0], VECTORS[:0], "is empty"),
        (np.array([3, 0, 2]), VECTORS, r"\[1\] is .*0.* pads"),
        (np.array(["a", "", "b"]), VECTORS, r"\[1\] is .*pads"),
        (np.array([3, 1, 3]), VECTORS, r"holds .*3.* twice, at \[0, 2\]"),
    ],
)
def test_refuses_what_a_table_could_not_hold(ids, vectors, message):
    with pytest.raises(DataError, match=message):
        ItemVectors(ids, vectors)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_names_the_item_of_a_value_that_is_no_number(value):
    vectors = VECTORS.copy()
    vectors[1, 2] = value
    with pytest.raises(DataError, match=r"\[1, 2\] of item .*1.* is (nan|inf)"):
        ItemVectors(IDS, vectors)


def test_names_the_file_that_is_missing_cut_or_another(tmp_path):
    path = tmp_path / "vectors.npz"
    with pytest.raises(DataError, match=r"vectors.npz: no such file"):
        ItemVectors.load(path)
    ItemVectors(IDS, VECTORS).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"vectors.npz: not an .npz"):
        ItemVectors.load(path)
    np.savez(path, item_ids=IDS)
    with pytest.raises(DataError, match="no array `vectors`, only"):
        ItemVectors.load(path)
    np.savez(path, item_ids=np.array([{}, {}]), vectors=VECTORS)
    with pytest.raises(DataError, match="plain arrays"):
        ItemVectors.load(path)
