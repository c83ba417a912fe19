"""Three versions of a small model, made once."""

import shutil

import pytest

from tests.serving.deploy.made_versions import (
    MODEL,
    first_version,
    make_version,
)


@pytest.fixture(scope="session", name="three_versions")
def _three_versions(tmp_path_factory):
    base = first_version(tmp_path_factory.mktemp("saved_models")).parent
    make_version(base / "1", base / "2", seed=2)
    make_version(base / "1", base / "3", seed=3)
    return base


@pytest.fixture(name="base")
def _base(three_versions, tmp_path):
    """A copy a test may spoil."""
    return shutil.copytree(three_versions, tmp_path / MODEL)
