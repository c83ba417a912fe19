"""Tests of the re-ranking."""
