"""Tests of `jd_tf.data.tables`."""
