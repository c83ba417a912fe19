"""Checks that a version folder is the live model and runs on a stock server."""
