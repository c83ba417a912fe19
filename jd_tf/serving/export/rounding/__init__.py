"""Exports rankers in fewer bits: half precision, compact tables."""
