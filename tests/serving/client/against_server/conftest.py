"""A server with two versions of the exported model."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from jd_tf.serving.client import (
    ClientOptions,
    RankingClient,
)
from tests.requests import random_requests
from tests.serving.client.fake_transport import with_candidates
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.other_version import other_version
from tests.serving.fake_server.start import description, model_server

LABELS = {"stable": 1, "canary": 2}


@dataclasses.dataclass(frozen=True)
class TwoVersions:
    """Two versions, and what each answers in process."""

    folder: Path
    schema: object
    references: dict

    def version(self, number):
        return self.folder / str(number)

    def publish(self, number, base, name=None):
        """Copies a version under a base path, as another one if named."""
        return other_version(
            self.version(number), base / str(name or number), 0
        )

    def check(self, ranking, request, version=None):
        """Right for the version that answered."""
        if version is not None:
            assert ranking.model_version == version
        expected = self.references[ranking.model_version].rank(request, 60)
        np.testing.assert_array_equal(
            np.sort(ranking.item_ids), np.sort(expected.item_ids)
        )
        back, forth = np.argsort(expected.order), np.argsort(ranking.order)
        for name in ("scores", "probabilities"):
            np.testing.assert_allclose(
                getattr(ranking, name)[forth],
                getattr(expected, name)[back],
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.fixture(scope="session")
def two_versions(exported):
    folder = Path(tempfile.mkdtemp(prefix="jd_tf-test-"))
    other_version(exported.folder, folder / "1", 0)
    other_version(exported.folder, folder / "2", 1)
    options = ClientOptions(one_call=False)
    references = {
        number: RankingClient.from_saved_model(folder / str(number), options)
        for number in (1, 2)
    }
    yield TwoVersions(folder, exported.schema, references)
    for client in references.values():
        client.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(two_versions):
    config = model_config(
        "rank", two_versions.folder, versions=(1, 2), labels=LABELS
    )
    with model_server(config, warm=False, max_threads=64) as server:
        for version in (1, 2):
            server.wait_until("rank", version)
        yield server


@pytest.fixture(scope="session")
def requests(exported):
    schema = exported.schema
    counts = (5, 1, 7, 3, 20)
    drawn = random_requests(schema, len(counts), seed=11)
    return [
        with_candidates(request, count, schema)
        for request, count in zip(drawn, counts, strict=True)
    ]


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(description())
