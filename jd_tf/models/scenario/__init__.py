"""Rankers whose weights follow the scenario, one a file."""
