"""Tests of jd_tf.serving.deploy."""
