"""Recall channels and their merge on public data."""
