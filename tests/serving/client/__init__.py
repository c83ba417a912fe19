"""Clients without a server; `tests/serving/wire` has the others."""
