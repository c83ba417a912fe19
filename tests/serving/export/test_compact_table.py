"""Eight-bit rows against a loop that rounds one value after the other."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.export.rounding import (
    STORAGES,
    CompactTable,
    quantize_rows,
)


def oracle(table):
    """Python's own numbers, row by row; round() takes ties to even."""
    codes, scales = [], []
    for row in table:
        scale = float(np.float32(max(abs(float(v)) for v in row) / 127))
        scales.append(scale)
        codes.append(
            [
                max(-127, min(127, round(float(np.float32(v / scale)))))
                if scale
                else 0
                for v in row
            ]
        )
    return np.array(codes), np.array(scales)


def restored(table):
    codes, scales = quantize_rows(table)
    return codes.astype(np.float32) * scales[:, None]


@pytest.fixture(name="table")
def _table():
    generator = np.random.default_rng(4)
    table = generator.normal(0, 1, (40, 9)) * 10.0 ** generator.integers(
        -6, 4, (40, 1)
    )
    table[3] = 0.0
    table[5] = [127, -127, 0.5, 1.5, -0.5, 2.5, 126.5, 0, 1]
    return table.astype("float32")


def test_codes_and_scales_are_the_oracles(table):
    codes, scales = quantize_rows(table)
    expected_codes, expected_scales = oracle(table)
    assert codes.dtype == np.int8
    assert scales.dtype == np.float32
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_allclose(scales, expected_scales, rtol=1e-7)


def test_a_value_comes_back_within_half_a_scale(table):
    codes, scales = quantize_rows(table)
    error = np.abs(restored(table) - table)
    assert (error <= 0.5 * scales[:, None] * (1 + 1e-5)).all()
    assert np.abs(codes).max(axis=1)[[0, 5]].tolist() == [127, 127]
    np.testing.assert_array_equal(restored(table)[3], 0.0)


def test_values_too_small_to_scale_become_zero():
    found = restored(np.array([[1e-45, 0.0]], "float32"))
    assert np.isfinite(found).all()


def test_values_that_are_not_finite_are_refused(table):
    table[7, 2] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        quantize_rows(table)


@pytest.mark.parametrize("storage", STORAGES)
def test_tables_give_back_the_rows_asked_for(table, storage):
    rows = np.array([[5, 0], [3, 39]])
    found = CompactTable(table, storage).lookup(rows)
    assert found.dtype == tf.float32
    if storage == "int8":
        expected = restored(table)
    else:
        expected = tf.cast(tf.cast(table, storage), tf.float32).numpy()
    np.testing.assert_array_equal(found, expected[rows])


def test_tables_take_the_bytes_they_promise(table):
    sizes = {
        storage: sum(
            variable.numpy().nbytes
            for variable in CompactTable(table, storage).variables
        )
        for storage in STORAGES
    }
    assert sizes == {
        "float32": table.size * 4,
        "bfloat16": table.size * 2,
        "float16": table.size * 2,
        "int8": table.size + len(table) * 4,
    }


def test_what_overflows_is_refused(table):
    table[0, 0] = 1e6
    with pytest.raises(ValueError, match="overflows float16"):
        CompactTable(table, "float16")
