"""Stages that order the items of one request, behind one contract."""
