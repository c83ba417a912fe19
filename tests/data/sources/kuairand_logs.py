"""Small made-up logs in the format of KuaiRand."""

import collections
import gzip
import random

from jd_tf.data.sources.kuairand_log import FEEDBACK

COLUMNS = (
    "user_id",
    "video_id",
    "time_ms",
    *FEEDBACK,
    "play_time_ms",
    "duration_ms",
    "comment_stay_time",
    "label",
)
START = 1_649_300_000_000
HOUR = 3_600_000


def log(num_rows, seed=0, start=START, step=40_000, users=6, tab=False):
    """Rows of a made log: a few users, popular videos, long and short gaps.

    No request has a video twice, and nothing is viewed or commented on that
    was not clicked.
    """
    seen = collections.defaultdict(lambda: collections.deque(maxlen=20))
    generator = random.Random(seed)
    rows, now = [], start
    for _ in range(num_rows):
        now += generator.choice([0, 7, step // 10, step, 10 * step])
        click = int(generator.random() < 0.6)
        rest = [int(generator.random() < p) for p in (0.5, 0.2, 0.2, 0.1, 0.1)]
        user = generator.randint(1, users)
        video = int(generator.paretovariate(0.7)) % 40
        while video in seen[user]:
            video = (video + 1) % 40
        seen[user].append(video)
        row = [
            user,
            video + 1,
            now,
            max(click, rest[0], rest[2]),
            *rest,
            generator.choice([0, 900, 12_345, 700_000]),
            generator.choice([0, 15_000]),
            generator.choice([0, 0, 4_000]),
            generator.randint(0, 1),
        ]
        rows.append(row + ([generator.randint(0, 2)] if tab else []))
    return rows


def write(folder, rows, name="feedback.tsv.gz", tab=False):
    """Writes rows as one file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    separator = "\t" if ".tsv" in name else ","
    header = [*COLUMNS, *(["tab"] if tab else [])]
    lines = [separator.join(map(str, row)) + "\n" for row in [header, *rows]]
    packed = name.endswith(".gz")
    opened = gzip.open if packed else open
    with opened(folder / name, "wt", encoding="utf-8") as file:
        file.writelines(lines)
    return folder
