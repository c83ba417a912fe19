"""Promotes a version to the one that is served, or changes nothing.

    python -m experiments.promote --config_file=deploy/models.config \
        --model=jd_ranker --addresses=localhost:8500

Loads the new version beside the old, waits until it is available, replays
the calls recorded with its export, moves the label, drops the old version
and updates the configuration file. Rolls back on any failure.

Exit codes: 0 promoted; 1 failed and rolled back, the old version serves; 2
refused, nothing was sent; 3 failed and not rolled back.
"""

import sys

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_CONFIG_FILE = flags.DEFINE_string(
    "config_file",
    None,
    "models.config of the servers, as make_serving_config wrote it.",
    required=True,
)
_MODEL = flags.DEFINE_string("model", None, "Its name there.", required=True)
_VERSION = flags.DEFINE_integer(
    "version",
    None,
    "A number; by default the highest. An older one is the way back.",
    lower_bound=0,
)
_ADDRESSES = program.needs_entries(
    flags.DEFINE_list(
        "addresses",
        ["localhost:8500"],
        "host:port of the gRPC side of every server that reads the file.",
    )
)
_LABEL = flags.DEFINE_string("label", "stable", "The label to move.")
_LOCAL = flags.DEFINE_list(
    "local",
    [],
    "server's path=path here, where the servers see base paths elsewhere.",
)
_LOAD_SECONDS = flags.DEFINE_float(
    "load_seconds",
    300.0,
    "Longest wait for a version to load.",
    lower_bound=1.0,
)
_CALL_SECONDS = flags.DEFINE_float(
    "call_seconds", 10.0, "Timeout of every call.", lower_bound=0.1
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest relative difference between served and recorded answers; by "
    "default ten times the export's.",
    lower_bound=0.0,
)
_KEEP_OLD = flags.DEFINE_boolean(
    "keep_old", False, "Leave the old version loaded."
)
_CA = flags.DEFINE_string("tls_ca", None, "PEM file of the servers' authority.")
_CERTIFICATE = flags.DEFINE_string("tls_certificate", None, "PEM, for mTLS.")
_KEY = flags.DEFINE_string("tls_key", None, "PEM, for mTLS.")

ROLLED_BACK, NOT_ROLLED_BACK = 1, 3


def main(_: object) -> int:
    """Promotes."""
    mapped = {}
    for text in _LOCAL.value:
        there, equals, here = text.partition("=")
        if not (there and equals and here):
            raise DataError(f"--local is path=path. Got: {text!r}.")
        mapped[there] = here
    from jd_tf.serving.client.options import TlsFiles
    from jd_tf.serving.deploy.promotion import (
        RollbackError,
        RolledBackError,
        promote,
    )

    tls = None
    if _CA.value or _CERTIFICATE.value or _KEY.value:
        tls = TlsFiles(_CA.value, _CERTIFICATE.value, _KEY.value)
    try:
        promote(
            _CONFIG_FILE.value,
            _MODEL.value,
            _VERSION.value,
            _ADDRESSES.value,
            tls,
            label=_LABEL.value,
            mapped=mapped,
            load_seconds=_LOAD_SECONDS.value,
            call_seconds=_CALL_SECONDS.value,
            tolerance=_TOLERANCE.value,
            keep_old=_KEEP_OLD.value,
        )
    except (RolledBackError, RollbackError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        failed = isinstance(error, RollbackError)
        return NOT_ROLLED_BACK if failed else ROLLED_BACK
    return 0


if __name__ == "__main__":
    program.run(main)
