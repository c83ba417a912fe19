"""Tests of losses and streaming metrics."""
