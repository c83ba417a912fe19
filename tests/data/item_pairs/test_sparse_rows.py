"""Tests of the entries and the strongest of sparse rows."""

import numpy as np
import pytest
import scipy.sparse

from jd_tf.data.item_pairs.sparse_rows import entries, strongest


@pytest.mark.parametrize("number", [1, 3, 20])
def test_the_strongest_equal_a_sort_of_each_row(number):
    """Ties go to the lower column; what is not above 0 is left out."""
    generator = np.random.default_rng(0)
    dense = generator.integers(-1, 4, (12, 9)).astype(float)
    dense[3] = 0
    found = strongest(scipy.sparse.csr_matrix(dense), number)
    expected = np.zeros(dense.shape)
    for row, values in enumerate(dense):
        order = sorted(range(9), key=lambda c: (-values[c], c))[:number]
        for column in order:
            expected[row, column] = max(values[column], 0)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert (found.data > 0).all()


def test_entries_come_row_by_row():
    dense = np.array([[0, 2, 1], [0, 0, 0], [3, 0, 0]])
    matrix = scipy.sparse.csr_matrix(dense)
    rows, columns, values = entries(matrix)
    assert list(zip(rows, columns, values, strict=True)) == [
        (0, 1, 2.0),
        (0, 2, 1.0),
        (2, 0, 3.0),
    ]
