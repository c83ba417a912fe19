"""Logs become requests, requests become padded batches."""
