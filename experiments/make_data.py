"""Makes a data set: logs, or a simulated shop, become requests on disk.

    python -m experiments.make_data --source=jd_micro --input=LOGS --output=DIR

    python -m experiments.make_data --source=tables --config=YAML --output=DIR

    python -m experiments.make_data --source=kuairand --input=LOGS --output=DIR

writes shards of train, validation and test, `schema.json`, `manifest.json`, and
what lies in them as `summary.json`, `summary.txt` and `summary.png`; all or
nothing. Options that a source does not have are refused by name.
"""

from absl import flags

from experiments import program
from experiments.source_names import SOURCE_NAMES

_SOURCE = flags.DEFINE_enum(
    "source",
    None,
    SOURCE_NAMES,
    "What to read.",
    required=True,
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "Folder of the log; none for the simulator. That of tables is by default "
    "the folder of their YAML file.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to make; new or empty.", required=True
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace what stands at --output."
)
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards",
    None,
    "Files per split; by default 2, of tables one for a million events.",
    lower_bound=1,
)

# Options of the sources. None: the source's own default.
_OPTIONS = (
    flags.DEFINE_integer(
        "seed", None, "Of everything drawn at random.", lower_bound=0
    ),
    flags.DEFINE_float(
        "validation_share",
        None,
        "Share of the log, or of simulated days, to validate on.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    flags.DEFINE_float(
        "test_share",
        None,
        "Share of the log, or of simulated days, to test on.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    flags.DEFINE_integer(
        "max_bad_records",
        None,
        "Logs and tables: bad lines, rows or records to skip and count; one "
        "more is an error.",
        lower_bound=0,
    ),
    flags.DEFINE_integer(
        "num_candidates",
        None,
        "jd_micro: candidates of a request, the product gone to "
        "included. simulator: items shown at most.",
        lower_bound=2,
    ),
    flags.DEFINE_integer(
        "max_candidates",
        None,
        "jd_ranking, bars: impressions joined to one request at most.",
        lower_bound=1,
    ),
    flags.DEFINE_float(
        "same_category_share",
        None,
        "jd_micro: probability that a negative has the category of "
        "the product being left; keep it below the share at which users stay "
        "in their category, which the summary counts.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    flags.DEFINE_float(
        "moment_share",
        None,
        "jd_micro: share of the visits to new products that become requests.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    flags.DEFINE_string(
        "config", None, "tables: the YAML file that declares them."
    ),
    flags.DEFINE_enum(
        "engine", None, ["duckdb", "spark"], "tables: what joins; duckdb."
    ),
    flags.DEFINE_string(
        "master", None, "tables: master of Spark, such as local[2]."
    ),
    flags.DEFINE_string(
        "memory_limit",
        None,
        "tables: memory of the engine, such as 4GB; more goes to disk.",
    ),
    flags.DEFINE_string(
        "statistics_delay",
        None,
        "tables: how late counters are in production, such as 1h.",
    ),
    flags.DEFINE_string(
        "dataset", None, "sequences: NAME of the NAME.txt to read."
    ),
    flags.DEFINE_integer(
        "max_length", None, "sequences: events of a history.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "num_negatives",
        None,
        "sequences: negatives of a training request.",
        lower_bound=1,
    ),
    flags.DEFINE_float(
        "popular_share",
        None,
        "sequences: probability that a training negative is drawn by "
        "popularity.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    flags.DEFINE_bool(
        "popularity",
        None,
        "sequences: whether candidates have their popularity.",
    ),
    flags.DEFINE_integer(
        "validation_users",
        None,
        "sequences: users drawn for validation; 0 for all.",
        lower_bound=0,
    ),
    flags.DEFINE_integer(
        "num_users", None, "simulator: people.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "num_items", None, "simulator: products.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "num_requests", None, "simulator: requests, roughly.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "num_days", None, "simulator: days logged.", lower_bound=1
    ),
    flags.DEFINE_float(
        "cold_start_share",
        None,
        "simulator: share of the products that arrive while logging.",
        lower_bound=0.0,
        upper_bound=0.5,
    ),
    flags.DEFINE_bool(
        "titles", None, "simulator: whether requests carry titles."
    ),
    flags.DEFINE_bool(
        "photos",
        None,
        "simulator: whether to draw all products and list them in "
        "catalogue.csv.",
    ),
    flags.DEFINE_bool(
        "session_worlds",
        None,
        "simulator: whether outcomes are worth something else in browsing and "
        "in buying sessions.",
    ),
)


def main(_: object) -> None:
    """Makes the data set and prints its summary."""
    from jd_tf.data.dataset import SUMMARY_FILE
    from jd_tf.data.dataset_making import make_dataset
    from jd_tf.data.summary import SUMMARY_PICTURE, SUMMARY_TEXT
    from jd_tf.data.summary_report import summary_text

    options = {
        flag.name: flag.value for flag in _OPTIONS if flag.value is not None
    }
    summary = make_dataset(
        _SOURCE.value,
        _OUTPUT.value,
        _INPUT.value,
        num_shards=_NUM_SHARDS.value,
        overwrite=_OVERWRITE.value,
        progress=program.PROGRESS.value,
        **options,
    )
    print(summary_text(summary))
    print(
        f"\n{_OUTPUT.value}: shards, {SUMMARY_FILE}, {SUMMARY_TEXT}, "
        f"{SUMMARY_PICTURE}"
    )


if __name__ == "__main__":
    program.run(main)
