"""What every switch of a model is worth: rows x seeds, one table."""
