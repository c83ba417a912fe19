"""Data sets in the splits of the BARS benchmark."""
