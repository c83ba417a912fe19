"""Recall, coarse ranking, fine ranking and re-ranking, in a chain."""
