"""Tests of a package."""
