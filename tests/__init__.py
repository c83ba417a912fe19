"""Tests; the folders are named after the packages they test."""
