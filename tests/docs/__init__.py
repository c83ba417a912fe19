"""Tests of the README, of docs/ and of their commands."""
