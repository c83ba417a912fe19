"""Tests of data sets, from logs to batches."""
