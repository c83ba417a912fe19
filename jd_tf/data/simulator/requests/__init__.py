"""Logs of simulated users as requests of a schema."""
