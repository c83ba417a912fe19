"""A client sends, and demands, the columns that the model reads."""

import pytest

from jd_tf.serving.client import RankingClient
from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.transport import Describe
from tests.serving.client.fake_transport import SCHEMA, FakeTransport
from tests.serving.client.test_ranking_client import REQUESTS, check


def without(columns, names):
    return {n: value for n, value in columns.items() if n not in names}


def test_columns_that_the_model_does_not_read_are_not_needed():
    unread = ("item_dense", "click_dwell_seconds", "request_time")

    class Transport(FakeTransport):
        def call(self, operation, timeout):
            found = super().call(operation, timeout)
            if isinstance(operation, Describe):
                for sides in found.signatures.values():
                    sides["inputs"] = without(sides["inputs"], unread)
            return found

    request = without(REQUESTS[0], unread)
    with RankingClient(transport := Transport(), SCHEMA) as client:
        check(client.rank(request), request, 1)
        check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
        num_calls = len(transport.calls)
        for name in ("session_dense", "click_event_time"):
            with pytest.raises(RequestError, match=f"missing: `{name}`"):
                client.rank(without(request, (name,)))
    assert not set(unread) & {n for _, i in transport.calls for n in i}
    assert len(transport.calls) == num_calls
