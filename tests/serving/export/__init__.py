"""Tests of `jd_tf.serving.export`."""
