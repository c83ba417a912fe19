"""Tests of the measures of a pipeline."""
