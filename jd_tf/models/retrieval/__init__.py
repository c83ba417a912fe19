"""Models that find candidates in a whole catalogue."""
