"""Rankers that differ in what objectives share, one a file."""
