"""Engines that evaluate expressions over tables."""
