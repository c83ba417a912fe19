"""TFRecords of the DMT paper (CIKM 2020)."""
