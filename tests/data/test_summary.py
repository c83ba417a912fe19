"""The summary counts what lies on disk."""

import numpy as np
import pytest
from matplotlib.image import imread

from jd_tf.data.dataset import write_dataset
from jd_tf.data.summary import SPLITS, summarize, write_summary
from jd_tf.data.summary_report import span_text, summary_text
from jd_tf.schema import DataError
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()


@pytest.fixture(scope="module")
def requests():
    made = random_requests(SCHEMA, 90)
    return {
        "train": made[:60],
        "validation": made[60:70],
        "test": made[70:],
    }


@pytest.fixture
def folder(tmp_path, requests):
    path = tmp_path / "data"
    write_dataset(path, SCHEMA, requests)
    return path


def test_counts_agree_with_a_loop(folder, requests):
    summary = summarize(folder)
    assert summary["schema"] == "small"
    for split in SPLITS:
        found, made = summary["splits"][split], requests[split]
        assert found["requests"] == len(made)
        assert found["users"] == len({r["user_id"] for r in made})
        items = {i for r in made for i in r["item_id"].tolist()}
        assert found["items"] == len(items)
        sizes = [len(r["item_id"]) for r in made]
        assert found["candidates"]["number"] == sum(sizes)
        for size in set(sizes):
            histogram = found["candidates"]["histogram"]
            assert histogram[str(size)] == sizes.count(size)
        for index, name in enumerate(SCHEMA.objective_names):
            positives = impressions = 0
            for request in made:
                counted = request["label_weights"][:, index] > 0
                impressions += counted.sum()
                positives += request["labels"][counted, index].sum()
            assert found["labels"][name] == {
                "positives": positives,
                "impressions": impressions,
                "rate": positives / impressions,
            }
        for behavior in SCHEMA.behaviors:
            lengths = [len(r[f"{behavior.name}_item_id"]) for r in made]
            spread = found["histories"][behavior.name]
            assert spread["mean"] == np.mean(lengths)
            assert spread["median"] == np.median(lengths)
            assert spread["max"] == max(lengths)
            assert spread["empty_share"] == lengths.count(0) / len(lengths)
        times = [r["request_time"] for r in made]
        assert found["time"]["first"] == min(times)
        assert found["time"]["last"] == max(times)
        assert sum(found["time"]["requests"]) == len(made)


def test_text_and_picture(folder, tmp_path):
    summary = write_summary(
        folder,
        {
            "bad_records": 1,
            "first_bad_records": ["a.csv: line 7: bad"],
            "counts": {"rows": 1234},
            "notes": ["A note."],
        },
    )
    text = (folder / "summary.txt").read_text()
    assert text == summary_text(summary) + "\n"
    for part in ("train", "60", "order", "1,234", "line 7", "A note.", "2023-"):
        assert part in text
    picture = imread(folder / "summary.png")
    # Every split has its colour: bars of labels, lines over time.
    pixels = (255 * picture[..., :3]).round().reshape(-1, 3)
    for color in ((0, 114, 178), (230, 159, 0), (0, 158, 115)):
        assert (pixels == color).all(axis=1).any()


def test_a_log_without_a_clock(tmp_path, requests):
    timeless = {
        split: [
            {
                **r,
                "request_time": 0,
                **{
                    f"{name}_event_time": r[f"{name}_event_time"] - 2 * 10**9
                    for name in ("click", "order")
                },
            }
            for r in made
        ]
        for split, made in requests.items()
    }
    write_dataset(tmp_path / "data", SCHEMA, timeless)
    summary = write_summary(tmp_path / "data")
    assert summary["splits"]["train"]["time"] is None
    assert "no clock" in (tmp_path / "data" / "summary.txt").read_text()


def test_a_changed_byte_is_named(folder):
    path = next(folder.glob("train-00000*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}: record \d"):
        summarize(folder)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (100, "1.7 minutes"),
        (7200, "2 hours"),
        (864_000, "10 days"),
    ],
)
def test_span_text(seconds, text):
    assert span_text(seconds) == text
