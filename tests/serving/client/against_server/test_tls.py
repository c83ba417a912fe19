"""Encrypted connections, and those that must not come about."""

import dataclasses
import shutil
import time
from urllib.parse import urlsplit

import pytest

from jd_tf.serving.client import (
    ClientOptions,
    ModelChoice,
    RankingClient,
    RestTransport,
    RetryPolicy,
    TlsFiles,
)
from jd_tf.serving.client.errors import RequestError, UnavailableError
from tests.serving.client.against_server.certificates import (
    make_authority,
    make_signed,
)
from tests.serving.client.against_server.clients import make_client
from tests.serving.client.against_server.encrypting_proxy import EncryptingProxy
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.options import TlsPems
from tests.serving.fake_server.start import model_server, server_kind

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="needs openssl to make certificates"
)
ONCE = RetryPolicy(max_attempts=1)
GRPC = pytest.mark.parametrize(
    "kind",
    ["grpc", "async_grpc"],
    ids=lambda kind: f"{server_kind()}_server-{kind}",
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder, "authority")
    return {
        "authority": authority,
        "unknown": make_authority(folder, "unknown"),
        "server": make_signed(folder, "server", authority),
        "client": make_signed(folder, "client", authority),
    }


@pytest.fixture(scope="module")
def mutual(two_versions, pairs):
    """A server that encrypts and requires certificates of clients."""
    pems = TlsPems(
        server_key=pairs["server"].key.read_bytes(),
        server_cert=pairs["server"].certificate.read_bytes(),
        custom_ca=pairs["authority"].certificate.read_bytes(),
        client_verify=True,
    )
    config = model_config("rank", two_versions.folder, versions=(1,))
    with model_server(config, tls=pems, warm=False) as server:
        yield server


def files(pairs, authority="authority", client="client"):
    return TlsFiles(
        authority=pairs[authority].certificate,
        certificate=pairs[client].certificate if client else None,
        key=pairs[client].key if client else None,
    )


@GRPC
def test_both_ends_show_certificates(
    kind, mutual, pairs, two_versions, requests
):
    tls = files(pairs)
    with make_client(kind, mutual, two_versions.schema, tls=tls) as client:
        two_versions.check(client.rank(requests[0]), requests[0], 1)


@GRPC
@pytest.mark.parametrize(
    ("authority", "client"),
    [("unknown", "client"), ("authority", None), ("authority", "unknown")],
)
def test_unknown_parties_are_turned_away(
    kind, authority, client, mutual, pairs, two_versions, requests
):
    tls = files(pairs, authority, client)
    made = make_client(kind, mutual, two_versions.schema, tls=tls, retries=ONCE)
    with made, pytest.raises(UnavailableError, match="TLS"):
        made.rank(requests[0], timeout=10.0)


@GRPC
def test_plain_clients_are_turned_away(kind, mutual, two_versions, requests):
    made = make_client(kind, mutual, two_versions.schema, retries=ONCE)
    with made, pytest.raises(UnavailableError, match="TLS"):
        made.rank(requests[0], timeout=10.0)


@pytest.fixture(scope="module")
def proxy(two_versions, pairs):
    """A server's REST port behind a proxy that encrypts; servers cannot."""
    config = model_config("rank", two_versions.folder, versions=(1,))
    with (
        model_server(config, warm=False) as server,
        EncryptingProxy(
            urlsplit(server.rest_url).port,
            pairs["server"],
            pairs["authority"].certificate,
        ) as proxy,
    ):
        yield proxy


def over_https(proxy, schema, tls, url=None):
    url = url or proxy.url
    transport = RestTransport(url, ModelChoice("rank"), tls, retries=ONCE)
    return RankingClient(transport, schema, ClientOptions(timeout=30.0))


def test_rest_checks_the_name_in_the_certificate(
    proxy, pairs, two_versions, requests
):
    by_number = proxy.url.replace("localhost", "127.0.0.1")
    tls = files(pairs)
    with (
        over_https(proxy, two_versions.schema, tls, by_number) as client,
        pytest.raises(UnavailableError, match="not valid for"),
    ):
        client.rank(requests[0])
    tls = dataclasses.replace(tls, server_name="localhost")
    with over_https(proxy, two_versions.schema, tls, by_number) as client:
        two_versions.check(client.rank(requests[0]), requests[0], 1)


def test_rest_goes_through_an_encrypting_proxy(
    proxy, pairs, two_versions, requests
):
    with over_https(proxy, two_versions.schema, files(pairs)) as client:
        for request in requests[:2]:
            two_versions.check(client.rank(request, timeout=30.0), request, 1)


@pytest.mark.parametrize(
    ("authority", "client"),
    [("unknown", "client"), ("authority", None), ("authority", "unknown")],
)
def test_rest_unknown_parties_are_turned_away(
    authority, client, proxy, pairs, two_versions, requests
):
    before = proxy.num_refused
    made = over_https(
        proxy, two_versions.schema, files(pairs, authority, client)
    )
    with made, pytest.raises(UnavailableError):
        made.rank(requests[0], timeout=10.0)
    # The proxy learns of it a moment after the client.
    deadline = time.monotonic() + 30
    while proxy.num_refused == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proxy.num_refused > before


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(RequestError, match="come together"):
        TlsFiles(certificate="a.pem")
    with pytest.raises(RequestError, match=r"none\.pem: No such file"):
        TlsFiles(authority=tmp_path / "none.pem").read()
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(RequestError, match="not a PEM file"):
        TlsFiles(authority=tmp_path / "text.pem").read()
    with pytest.raises(RequestError, match="does not encrypt"):
        RestTransport("http://localhost:1", ModelChoice("m"), TlsFiles())
