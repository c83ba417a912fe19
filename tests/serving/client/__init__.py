"""Clients without a server; `tests/serving/protos` has the others."""
