"""Clients and a model server: the double, or the real one."""
