"""Re-ranking of hundreds of scored items to the tens that are shown."""
