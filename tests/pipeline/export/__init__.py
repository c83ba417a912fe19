"""Tests of exports of two towers."""
