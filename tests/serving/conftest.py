"""Exported models that serving tests share."""

import pytest

from tests.serving.exported import Exported, exported, tiny_version


@pytest.fixture(scope="session", name="exported")
def _exported() -> Exported:
    return exported()


@pytest.fixture(scope="session", name="tiny")
def _tiny():
    """Version 1 of the tiny ranker; tests copy it before they change it."""
    return tiny_version()
