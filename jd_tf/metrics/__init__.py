"""Metrics in NumPy, below training and evaluation."""
