"""Benchmarks; run as `python -m experiments.benchmarks.<name>`."""
