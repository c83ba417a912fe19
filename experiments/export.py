"""Exports the best weights of a training run as a SavedModel.

    python -m experiments.export --workdir=runs/model --output=saved_models

Writes `saved_models/<model>/<next version>/`, verified in a fresh process;
nothing if that fails. See `saved_models/README.md`.
"""

from pathlib import Path

from absl import flags, logging

from experiments import program

# More than the recorded calls use.
_ENOUGH = 64

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_OUTPUT = flags.DEFINE_string("output", "saved_models", "Folder of all models.")
_NAME = flags.DEFINE_string(
    "name", "", "Folder of this model in there; by default its class's name."
)
_REQUESTS = flags.DEFINE_string(
    "requests",
    None,
    "JSON or TFRecord file of real requests, for the calls that warm a server "
    "up and verify it; made up by default.",
)
_METRICS = flags.DEFINE_string(
    "metrics",
    None,
    "metrics.json for the model card; by default the run's, if there is one.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    1e-5,
    "Largest relative difference between live and reloaded model.",
    lower_bound=0.0,
)


def main(_: object) -> None:
    """Exports and prints the new folder."""
    # Saving tells of every tensor it renames.
    logging.set_verbosity(logging.WARNING)
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.evaluation.metrics_file import read_metrics
    from jd_tf.serving.export import export_model
    from jd_tf.serving.request_file import read_requests
    from jd_tf.training.workdir import load_trained

    metrics_path = Path(_METRICS.value or Path(_WORKDIR.value, "metrics.json"))
    metrics = None
    if _METRICS.value or metrics_path.exists():
        metrics = read_metrics(metrics_path)
    model = load_trained(_WORKDIR.value)
    requests = None
    if _REQUESTS.value:
        requests = read_requests(_REQUESTS.value, model.schema, _ENOUGH)
    folder = export_model(
        model,
        _OUTPUT.value,
        name=_NAME.value,
        requests=requests,
        metrics=metrics,
        tolerance=_TOLERANCE.value,
    )
    print(f"exported: {folder}")


if __name__ == "__main__":
    program.run(main)
