"""Recommends items to users of a data set.

    python -m experiments.recommend --config=YAML --data=DIR --output=FILE

Answers requests of a split through recall, coarse, fine and re-ranking, within
the deadline of the file. Writes one JSON object a line: the items with
channels, rank after each stage, probabilities and the reason of their place,
and what happened at each stage. `experiments.build_recommender` makes such a
YAML file.
"""

import json
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_CONFIG = flags.DEFINE_string(
    "config", None, "YAML file of the recommender.", required=True
)
_DATA = flags.DEFINE_string(
    "data", None, "Folder made by experiments.make_data.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split whose users are answered.")
_NUM_REQUESTS = flags.DEFINE_integer(
    "num_requests", 20, "Requests answered; 0 for all.", lower_bound=0
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File of JSON lines; only the table is printed without."
)
_TOP = flags.DEFINE_integer(
    "top", 5, "Items of the first answer that are printed.", lower_bound=0
)
_ATTENTION = flags.DEFINE_bool(
    "attention",
    False,
    "Explain items by the attention to histories, too, where the ranker can.",
)


def main(_: object) -> None:
    """Answers, writes, and prints the first answer and the timings."""
    output = Path(_OUTPUT.value) if _OUTPUT.value else None
    if output and output.is_dir():
        raise DataError(f"{output}: is a folder; name a file.")
    from jd_tf.data.files import write_whole
    from jd_tf.pipeline.building import open_recommender
    from jd_tf.pipeline.evaluation.logged_requests import read_logged

    with open_recommender(_CONFIG.value) as opened:
        requests = read_logged(
            _DATA.value, _SPLIT.value, _NUM_REQUESTS.value, opened.schema
        )
        lines, first = [], None
        for one in requests:
            if first is None:
                opened.recommender.warm_up(
                    one.columns, explain_attention=_ATTENTION.value
                )
            answer = opened.recommender.recommend(
                one.columns, explain_attention=_ATTENTION.value
            )
            first = first or answer
            whose = {"request_id": one.request_id, "user_id": one.user_id}
            found = {**whose, **answer.to_json()}
            lines.append(json.dumps(found, ensure_ascii=False))
        stats = opened.recommender.stats()
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, ("\n".join(lines) + "\n").encode())
    if first is not None:
        print(first.table(_TOP.value))
    print(f"\n{len(lines)} answers, milliseconds by stage:")
    for name, found in stats.items():
        if name != "running":
            print(
                f"  {name:10} p50 {found['p50_ms']:8.1f}  p99 "
                f"{found['p99_ms']:8.1f}  {found['outcomes']}"
            )
    if output:
        print(f"answers: {output}")


if __name__ == "__main__":
    program.run(main)
