"""Pages and pictures about a trained run."""
