"""Rankers with one stack over histories and candidates."""
