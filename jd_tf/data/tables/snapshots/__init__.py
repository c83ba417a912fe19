"""Statistics and user profiles as of a moment, for serving."""
