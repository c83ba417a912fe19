"""Training of models that find candidates in a whole catalogue."""
