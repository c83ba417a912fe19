"""Ranks the requests of a file with a SavedModel, or a server that has it.

    python -m experiments.rank --saved_model=saved_models/jd_ranker \
        --requests=requests.json
    python -m experiments.rank --grpc=localhost:8500 \
        --schema=saved_models/jd_ranker --requests=requests.json

`--requests` is JSON (a request, a list of them, or one a line) or a TFRecord
file of a data folder. A request in JSON, histories newest first:

    {"request_id": "17", "item_id": [3, 5], "click_item_id": [9, 4],
     "request_time": 1700000000, "click_event_time": [1699999988, 1699999920],
     "order_item_id": [], ...}

The answer is the same in process and from a server. A server does not send its
schema: `--schema` names a file or folder that has it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from jd_tf.schema import DataError, Schema

_SAVED_MODEL = flags.DEFINE_string(
    "saved_model",
    None,
    "A version folder, or a model's folder, whose highest version is taken.",
)
_GRPC = flags.DEFINE_string(
    "grpc", None, "host:port of a model server, gRPC (8500 as a rule)."
)
_REST = flags.DEFINE_string(
    "rest", None, "http://host:port of a model server, REST (8501 as a rule)."
)
_MODEL = flags.DEFINE_string(
    "model", "jd_ranker", "Name of the model on the server."
)
_VERSION = flags.DEFINE_integer(
    "version",
    None,
    "Version on the server; the latest without version and label.",
    lower_bound=0,
)
_LABEL = flags.DEFINE_string(
    "label", None, "Label of the version on the server, such as stable."
)
_SCHEMA = flags.DEFINE_string(
    "schema",
    None,
    "For servers: schema.json, or a folder that has it: a version, a model or "
    "a data set.",
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 30.0, "Seconds for one request.", lower_bound=0.001
)
_TLS = flags.DEFINE_bool(
    "tls", False, "For --grpc: encrypt, by the system's authorities."
)
_TLS_AUTHORITY = flags.DEFINE_string(
    "tls_authority", None, "PEM file the server's certificate goes back to."
)
_TLS_CERTIFICATE = flags.DEFINE_string(
    "tls_certificate", None, "PEM file of the client's certificate."
)
_TLS_KEY = flags.DEFINE_string(
    "tls_key", None, "PEM file of the key of --tls_certificate."
)
_TLS_SERVER_NAME = flags.DEFINE_string(
    "tls_server_name", None, "Name in the server's certificate, if another."
)
_REQUESTS = flags.DEFINE_string(
    "requests", None, "JSON or TFRecord file of requests.", required=True
)
_TOP = flags.DEFINE_integer(
    "top", 10, "Items shown of each request.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file for the same, with every digit."
)
flags.mark_flags_as_mutual_exclusive(
    ["saved_model", "grpc", "rest"], required=True
)
flags.mark_flags_as_mutual_exclusive(["version", "label"])


def main(_: object) -> None:
    """Prints a table per request and writes the JSON file, if there is one."""
    # --help should not wait for these. TensorFlow is loaded for
    # --saved_model only: a server can do without.
    from jd_tf.data.files import write_json
    from jd_tf.serving.client import ClientOptions, RankingClient, read_requests

    output = Path(_OUTPUT.value) if _OUTPUT.value else None
    if output and output.is_dir():
        raise DataError(f"{output}: is a folder; name a file.")
    schema = _read_schema(Path(_SCHEMA.value)) if _SCHEMA.value else None
    options = ClientOptions(timeout=_TIMEOUT.value)
    with RankingClient(_transport(), schema, options) as client:
        requests = read_requests(_REQUESTS.value, client.schema)
        rankings = [
            _rank(client, request, number)
            for number, request in enumerate(requests)
        ]
    # Before anything is printed: a reader such as `head` may go early.
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            output, [ranking.to_json(_TOP.value) for ranking in rankings]
        )
    print(f"{client.transport.where}: {len(rankings)} requests")
    for ranking in rankings:
        print()
        print(ranking.table(_TOP.value))


def _transport() -> Any:
    from jd_tf.serving.client import (
        GrpcTransport,
        ModelChoice,
        RestTransport,
        SavedModelTransport,
        TlsFiles,
    )

    files = {
        "authority": _TLS_AUTHORITY.value,
        "certificate": _TLS_CERTIFICATE.value,
        "key": _TLS_KEY.value,
        "server_name": _TLS_SERVER_NAME.value,
    }
    if _SAVED_MODEL.value:
        for flag in (_VERSION, _LABEL):
            if flag.value is not None:
                raise DataError(
                    f"--{flag.name} is for servers; name the version's folder "
                    "in --saved_model."
                )
        return SavedModelTransport(_SAVED_MODEL.value)
    encrypted = _TLS.value or any(files.values())
    tls = TlsFiles(**files) if encrypted else None
    choice = ModelChoice(_MODEL.value, _VERSION.value, _LABEL.value)
    if _GRPC.value:
        return GrpcTransport(_GRPC.value, choice, tls)
    return RestTransport(str(_REST.value), choice, tls)


def _read_schema(path: Path) -> Schema:
    from jd_tf.serving.export.versions import SCHEMA_FILE, resolve

    if not path.is_dir():
        return Schema.load(path)
    if (path / "schema.json").is_file():
        return Schema.load(path / "schema.json")
    return Schema.load(resolve(path) / SCHEMA_FILE)


def _rank(client: Any, request: Any, number: int) -> Any:
    from jd_tf.serving.client.errors import RequestError
    from jd_tf.serving.client.ranking import describe

    if isinstance(request, Mapping):
        request = {"request_id": number, **request}
    try:
        return client.rank(request)
    except RequestError as error:
        raise DataError(
            f"{_REQUESTS.value}: {describe(request, number)}: {error}."
        ) from error


if __name__ == "__main__":
    program.run(main)
