"""jd_tf: ranking models for e-commerce."""
