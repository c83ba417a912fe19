"""Rankers that multiply features with each other, one a file."""
