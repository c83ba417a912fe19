"""Recall: channels that bring items, and their merge."""
