"""Command-line programs; each does one job."""
