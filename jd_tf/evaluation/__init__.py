"""Judges rankings: metrics, intervals, baselines, reports."""
