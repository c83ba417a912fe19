"""Measures a whole pipeline: what each cut loses, and what it costs."""
