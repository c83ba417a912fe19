"""Tests of jd_tf.layers."""
