"""Tests of jd_tf.serving.operations."""
