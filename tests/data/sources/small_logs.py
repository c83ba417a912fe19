"""Small made-up logs in every format, for the tests of the sources."""

import random
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score


def category_of(item: int) -> int:
    """Three categories, whatever the item."""
    return 700 + item % 3


def micro_sessions(num_sessions: int, seed: int = 0) -> list[str]:
    """Lines of micro-behaviour sessions over a few popular items."""
    generator = random.Random(seed)
    lines = []
    for _ in range(num_sessions):
        tokens = []
        for _ in range(generator.randint(1, 9)):
            item = int(generator.paretovariate(0.6)) % 60 + 1
            dwell = generator.choice([0, 3, 9, 40, 5000])
            tokens.append((item, generator.randint(1, 5), dwell))
            for behavior in generator.choices(range(1, 11), k=3):
                if generator.random() < 0.5:
                    tokens.append((item, behavior, dwell))
        lines.append(
            " ".join(
                f"{item}+{behavior}+{category_of(item)}+"
                f"{generator.choice([0, 1, 4, 30])}+{dwell}"
                for item, behavior, dwell in tokens
            )
        )
    return lines


def write_micro(folder: Path, lines: list[str], name: str = "JD_X.txt") -> Path:
    """Writes sessions as one file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


IDS = ("sku", "c2", "c3", "brand", "shop")


def impression(
    number: int = 0, lengths=(3, 2, 1), order_suffix="12m_10", **changes
) -> tf.train.Example:
    """One ranking record; `changes` replace columns, None removes them."""
    columns: dict = {
        "label": [0.0],
        "mask": [1.0, 0.0, 0.0, 0.0, 0.0],
        "features": [0.25 * number, -0.5],
        "page": [b"2"],
        "pos": [b"12"],
        "near_expo_seq_sku": [b"8", b"9"],
    }
    columns |= {f"item_fea_{name}": [f"{number + 5}".encode()] for name in IDS}
    parts = [("clk", "7d_50"), ("ord", order_suffix), ("cart", "12m_10")]
    for (prefix, suffix), length in zip(parts, lengths, strict=True):
        for name in IDS:
            ids = [f"{prefix}{name}{n}".encode() for n in range(length)]
            columns[f"{prefix}_seq_{name}_{suffix}"] = ids or [b"unknow"]
        ages = [f"{1000 - 100 * n + number}".encode() for n in range(length)]
        columns[f"{prefix}_seq_ts_{suffix}"] = ages or [b"unknow"]
        stated = b"%d.000000" % length if length else b"unknow"
        columns[f"{prefix}_seq_len_{suffix}"] = [stated]
    columns |= changes
    example = tf.train.Example()
    for name, values in columns.items():
        if values is None:
            continue
        feature = example.features.feature[name]
        if values and isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(values)
    return example


def write_ranking(
    path: Path, examples: list[tf.train.Example], compress: bool = True
) -> Path:
    """Writes records as a TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = "GZIP" if compress else ""
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    return path


def check_hidden(requests: list[dict]) -> None:
    """Neither place nor popularity gives the positive of 20 away."""
    labels = np.concatenate([r["labels"][:, 0] for r in requests])
    places = np.tile(np.arange(20), len(requests))
    counters = np.concatenate([r["item_dense"][:, 0] for r in requests])
    assert abs(roc_auc_score(labels, places) - 0.5) < 0.03
    assert 0.45 < roc_auc_score(labels, counters) < 0.7
    assert counters.min() >= 1
