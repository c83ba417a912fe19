"""Replays logged requests on two versions: scores, rankings, latency.

    python -m experiments.shadow --log=requests.log --output=runs/shadow \
        --before=saved_models/jd_ranker/3 --after=saved_models/jd_ranker/4

A log is a TFRecord file of `PredictionLog`s: of the client's sampler, or the
warm-up file of an export. `--before` and `--after` are folders, or
`host:port` of a model server with `--model` and a version or label. Writes
`shadow.html` and `shadow.json`.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_LOG = flags.DEFINE_string(
    "log",
    None,
    "The request log: a file, or the sampler's folder.",
    required=True,
)
_BEFORE = flags.DEFINE_string(
    "before",
    None,
    "The version that serves: a folder or host:port.",
    required=True,
)
_AFTER = flags.DEFINE_string(
    "after",
    None,
    "The version that might: a folder or host:port.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_MODEL = flags.DEFINE_string(
    "model", "jd_ranker", "Name of the model on servers."
)
_BEFORE_VERSION = flags.DEFINE_string(
    "before_version", "", "Number or label on the server; the latest if empty."
)
_AFTER_VERSION = flags.DEFINE_string(
    "after_version", "", "Number or label on the server; the latest if empty."
)
_TOP_K = flags.DEFINE_integer(
    "top_k", 10, "Number of places that count as the top.", lower_bound=1
)
_MAX_CALLS = flags.DEFINE_integer(
    "max_calls", 0, "Largest number of logged calls; 0 for all.", lower_bound=0
)
_CALL_SECONDS = flags.DEFINE_float(
    "call_seconds", 10.0, "Timeout of a call.", lower_bound=0.1
)


def main(_: object) -> None:
    """Replays, writes the report and prints a summary."""
    if not Path(_LOG.value).exists():
        raise DataError(f"{_LOG.value}: no such file or folder.")
    from jd_tf.serving.deploy.replay import open_target
    from jd_tf.serving.deploy.shadow_report import PAGE_FILE, shadow

    model, seconds = _MODEL.value, _CALL_SECONDS.value
    metrics = shadow(
        _LOG.value,
        open_target(_BEFORE.value, model, _BEFORE_VERSION.value, seconds),
        open_target(_AFTER.value, model, _AFTER_VERSION.value, seconds),
        _OUTPUT.value,
        _TOP_K.value,
        _MAX_CALLS.value,
    )
    top = metrics["top_k"]
    print(
        f"{metrics['num_requests']} requests: top {top['k']} overlap "
        f"{100 * top['mean']:.1f} %, largest change of a score "
        f"{metrics['score_change']['max']:.3g}"
    )
    for name, times in metrics["latency_ms"].items():
        print(f"{name}: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms")
    print(f"report: {Path(_OUTPUT.value) / PAGE_FILE}")


if __name__ == "__main__":
    program.run(main)
