"""Tests of `jd_tf.data.item_pairs`."""
