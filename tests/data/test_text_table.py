"""Columns of text tables are as wide as their widest cell."""

from jd_tf.data.text_table import text_table

ROWS = [["place", "n"], ["1", "10"]]


def test_columns_line_up():
    assert text_table(ROWS) == ["place  n", "1      10"]
    assert text_table(ROWS, num_left=1) == ["place   n", "1      10"]
    assert text_table(ROWS, num_left=0) == ["place   n", "    1  10"]
