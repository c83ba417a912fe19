"""Tests of jd_tf.evaluation.report."""
