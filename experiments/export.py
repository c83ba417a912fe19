"""Exports the best weights of a training run as a SavedModel.

    python -m experiments.export --workdir=runs/model --requests=runs/data

Writes `saved_models/<model>/<next version>/`, verified in a fresh process;
nothing if that fails. See `saved_models/README.md`.

    python -m experiments.export --workdir=runs/model --requests=runs/data \
        --dtype=bfloat16 --tables=int8

exports a smaller ranker, and says in the model card what its metrics lose.
"""

from absl import flags, logging

from experiments import program

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
    "Real requests for the calls that verify the export and warm a server up: "
    "a data folder, a JSON or a TFRecord file; made up by default.",
)
_METRICS = flags.DEFINE_string(
    "metrics",
    None,
    "metrics.json for the model card; by default the run's, if there is one.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest relative difference between live and reloaded model; by default "
    "1e-5, and 0.03 where it computes in bfloat16.",
    lower_bound=0.0,
)
_DTYPE = flags.DEFINE_enum(
    "dtype",
    "float32",
    ["float32", "bfloat16"],
    "What the exported model computes in; inputs and outputs stay float32.",
)
_TABLES = flags.DEFINE_enum(
    "tables",
    "float32",
    ["float32", "bfloat16", "float16", "int8"],
    "What its embedding tables are kept in.",
)
_SPLIT = flags.DEFINE_string(
    "split",
    "validation",
    "Split of a data folder that requests come from, and that the cost of "
    "--dtype and --tables is measured on.",
)


def main(_: object) -> None:
    """Exports and prints the new folder."""
    # Saving tells of every tensor it renames.
    logging.set_verbosity(logging.WARNING)
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.serving.export.export_run import export_run

    folder = export_run(
        _REQUESTS.value,
        _WORKDIR.value,
        _OUTPUT.value,
        _NAME.value,
        _METRICS.value,
        _TOLERANCE.value,
        dtype=_DTYPE.value,
        tables=_TABLES.value,
        split=_SPLIT.value,
    )
    print(f"exported: {folder}")


if __name__ == "__main__":
    program.run(main)
