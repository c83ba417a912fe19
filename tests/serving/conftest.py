"""The exported model that serving tests share."""

import pytest

from tests.serving.exported import Exported, exported


@pytest.fixture(scope="session", name="exported")
def _exported() -> Exported:
    return exported()
