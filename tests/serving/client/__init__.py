"""Clients without a server; `against_server` has the others."""
