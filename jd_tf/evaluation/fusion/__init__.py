"""Fusion weights: the best constant ones, and the learned ones judged."""
