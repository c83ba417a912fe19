"""Names that `--source` takes; importing the sources takes seconds."""

from jd_tf.data.tables.config_reading import LOGS

SOURCE_NAMES = (
    "simulator",
    "tables",
    "jd_ranking",
    "jd_micro",
    "sequences",
    "bars",
    *LOGS,
)
