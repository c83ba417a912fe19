"""Pages of a user: a moving clock, another session, and at last a click."""

from pathlib import Path

import numpy as np
import pytest

from jd_tf.schema import Role
from jd_tf.serving.client import ClientOptions, RankingClient
from jd_tf.serving.client.errors import ClosedError
from jd_tf.serving.client.request_log import read_request_log
from tests.serving.client.against_server.clients import IDS, KINDS, make_client
from tests.serving.client.fake_transport import with_candidates

ROOT = Path(__file__).resolve().parents[4]


def pages_of(request, schema):
    """Three pages: time, context, session and candidates change."""
    pages = []
    for number, (passed, count) in enumerate([(0, 5), (2, 7), (75, 3)]):
        page = with_candidates(request, count, schema)
        page["item_id"] = page["item_id"] + 10 * number
        page["request_time"] = request["request_time"] + passed
        page["session_dense"] = np.full(3, 4.0 * number)
        page["hour"], page["scenario"] = number + 1, number + 1
        pages.append(page)
    return pages


def clicked(page, schema):
    """The next page of a user who clicked the first candidate of this one."""
    later = {**page, "request_time": page["request_time"] + 9}
    shown = {c.name for c in schema.columns(Role.CANDIDATE)}
    for column in schema.columns(Role.HISTORY):
        name = column.name.removeprefix("click_")
        if not column.ragged or name == column.name:
            continue
        old = np.asarray(page[column.name])
        new = np.zeros_like(old, shape=(1, *old.shape[1:]))
        if name in shown:
            new = np.asarray(page[name])[:1]
        elif name == "event_time":
            new = np.array([page["request_time"] + 5])
        events = np.concatenate([new, old])
        later[column.name] = events[: column.max_length]
    return later


@pytest.fixture(name="check", scope="module")
def _check(two_versions):
    """Compares with one call in process, which knows no state."""
    options = ClientOptions(timeout=60.0, one_call=True, max_users=0)
    folder = two_versions.version(2)
    with RankingClient.from_saved_model(folder, options) as client:

        def check(ranking, request):
            expected = client.rank(request)
            back = np.argsort(expected.order)
            found = ranking.scores[np.argsort(ranking.order)]
            np.testing.assert_allclose(
                found, expected.scores[back], rtol=1e-4, atol=1e-5
            )
            return found

        yield check
        assert set(client.stats()["calls"]) == {"serving_default"}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_three_pages_are_one_encoding_and_a_click_is_another(
    kind, server, two_versions, requests, check
):
    schema = two_versions.schema
    request = max(requests, key=lambda r: len(r["click_item_id"]))
    pages = pages_of(request, schema)
    with make_client(kind, server, schema) as client:
        check(client.rank(pages[0]), pages[0])
        assert client.stats()["calls"] == {"encode_and_rank": 1}
        for page in pages[1:]:
            check(client.rank(page), page)
        stats = client.stats()
        assert stats["calls"] == {"encode_and_rank": 1, "rank_candidates": 2}
        assert stats["cache"]["hits"] == 2

        after = clicked(pages[-1], schema)
        changed = check(client.rank(after), after)
        # With the state from before the click it would be another score.
        same = {**pages[-1], "request_time": after["request_time"]}
        without = check(client.rank(same), same)
        assert np.abs(changed - without).max() > 1e-3
        check(client.rank(after), after)
        stats = client.stats()
    assert stats["calls"] == {"encode_and_rank": 2, "rank_candidates": 4}
    assert stats["cache"]["hits"] == 4


def test_the_page_of_the_documentation_runs(
    server, two_versions, requests, tmp_path
):
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    code = text.split("## The Python client")[1].split("```python")[1]
    code = code.split("```")[0]
    schema = two_versions.version(1) / "assets.extra" / "schema.json"
    for written, here in {
        "saved_models/jd_ranker/1/assets.extra/schema.json": schema,
        "localhost:8500": server.address,
        '"jd_ranker"': '"rank"',
        "timeout=0.2": "timeout=60.0",
        "timeout=0.05": "timeout=60.0",
        "rate=0.01": "rate=1.0",
        "runs/requests": tmp_path / "log",
    }.items():
        assert code.count(written) == 1, written
        code = code.replace(written, str(here))
    page, next_page, _ = pages_of(requests[0], two_versions.schema)
    names = {"request": page, "next_page": next_page}
    exec(code, names)
    assert names["client"].stats()["cache"]["hits"] == 1
    two_versions.check(names["second"], next_page, 1)
    with pytest.raises(ClosedError):
        names["client"].rank(page)
    # What `shadow --log` reads.
    logged = list(read_request_log(tmp_path / "log", two_versions.schema))
    assert len(logged) == 2


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_one_call_keeps_no_state_of_a_user_who_leaves(
    kind, server, two_versions, requests, check
):
    """Asked for by those whose users see a single page."""
    pages = pages_of(requests[0], two_versions.schema)
    options = {"one_call": True}
    with make_client(kind, server, two_versions.schema, **options) as client:
        for page in pages:
            check(client.rank(page), page)
        stats = client.stats()
    # The second page encodes, the third finds it.
    assert stats["calls"] == {
        "serving_default": 1,
        "encode_and_rank": 1,
        "rank_candidates": 1,
    }
    assert stats["cache"]["hits"] == 1
