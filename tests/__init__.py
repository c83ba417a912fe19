"""Tests; the folders are named after the rooms they test."""
