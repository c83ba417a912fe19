"""IdRanks against counting in plain Python."""

from collections import Counter

import numpy as np
import pytest

from jd_tf.layers import IdRanks


@pytest.mark.parametrize("dtype", ["int64", "string"])
def test_equals_counting_in_plain_python(dtype):
    rng = np.random.default_rng(1)
    ids = rng.integers(-3, 12, (40, 5)) ** 3
    layer = IdRanks(num_ids=6, id_dtype=dtype)
    texts = np.where(ids == 0, "", ids.astype(str)).astype(object)
    given = ids if dtype == "int64" else texts
    layer.adapt(given)
    found = layer(given).numpy()[..., 0]
    counts = Counter(ids[ids != 0].tolist())
    known = sorted(counts, key=lambda i: (-counts[i], i))[:6]
    if dtype == "int64":
        places = {one: place for place, one in enumerate(sorted(known))}
        expected = [[places.get(one, -1) for one in row] for row in ids]
        np.testing.assert_array_equal(found, expected)
        return
    # Texts have some order: one number an id, of as many ids.
    assert (found[ids == 0] == -1).all()
    pairs = set(zip(ids[found >= 0].tolist(), found[found >= 0], strict=True))
    assert sorted(place for _, place in pairs) == list(range(6))
    assert min(counts[one] for one, _ in pairs) >= max(
        [counts[one] for one in counts if one not in dict(pairs)]
    )


def test_unknown_before_it_is_adapted():
    found = IdRanks(3)(np.array([0, 5]))
    np.testing.assert_array_equal(found, [[-1.0], [-1.0]])


def test_fewer_ids_than_places():
    layer = IdRanks(num_ids=9)
    layer.adapt(np.array([0, 2**62, -7]))
    found = layer(np.array([-7, 2**62, 0, 8, 2**63 - 1]))
    np.testing.assert_array_equal(found[:, 0], [0.0, 1.0, -1.0, -1.0, -1.0])
