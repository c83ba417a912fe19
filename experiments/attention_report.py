"""Draws the attention of each head to the events of histories.

    python -m experiments.attention_report --data=DIR --workdir=DIR

Writes pictures and `index.html` into `attention/` of the run's folder.
"""

from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Folder made by experiments.make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split whose users are shown.")
_MAX_REQUESTS = flags.DEFINE_integer(
    "max_requests", 2000, "Requests read.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write; attention/ of --workdir by default."
)


def main(_: object) -> None:
    """Writes the report and prints where it lies."""
    from jd_tf.evaluation import report_attention

    output = _OUTPUT.value or Path(_WORKDIR.value) / "attention"
    page = report_attention(
        _DATA.value, _WORKDIR.value, output, _SPLIT.value, _MAX_REQUESTS.value
    )
    print(f"report: {page}")


if __name__ == "__main__":
    program.run(main)
