"""A smaller data folder: the first requests of some splits."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from jd_tf.data.dataset import (
    SCHEMA_FILE,
    SUMMARY_FILE,
    new_folder,
    read_schema,
    seal,
    split_files,
)
from jd_tf.schema import DataError

_BLOCK_REQUESTS = 256


def first_requests(
    data_dir: str | Path, output_dir: str | Path, limits: Mapping[str, int]
) -> Path:
    """Makes a data folder of the first requests of every split, once.

    Shards are read in turn, a request each, which is how requests were dealt
    to them. Splits without a limit are linked, or copied where the file
    system has no links. A folder that is there already is checked, not made
    again.

    Args:
        data_dir: made by `write_dataset` or `make_data`.
        output_dir: the smaller folder.
        limits: split -> requests; 0 or missing for all.

    Returns:
        `output_dir`.

    Raises:
        DataError: if a split is missing, a limit negative, or `output_dir`
            holds other requests.
    """
    limits = {split: limit for split, limit in limits.items() if limit}
    for split, limit in limits.items():
        if limit < 0:
            raise DataError(f"split `{split}`: cannot take {limit} requests.")
    schema = read_schema(data_dir)
    output_dir = Path(output_dir)
    expected = {
        split: min(limit, sum(split_files(data_dir, split).values()))
        for split, limit in limits.items()
    }
    if (output_dir / SCHEMA_FILE).exists():
        read_schema(output_dir).check_same(schema, str(data_dir))
        for split, count in expected.items():
            there = sum(split_files(output_dir, split).values())
            if there != count:
                raise DataError(
                    f"{output_dir}: holds {there} requests of split `{split}`, "
                    f"not {count}. Name another folder."
                )
        return output_dir
    with new_folder(output_dir) as folder:
        for shard in sorted(Path(data_dir).glob("*.tfrecord")):
            if shard.name.split("-")[0] not in limits:
                _link(shard, folder / shard.name)
        for split, count in expected.items():
            _write_first(data_dir, folder, split, count)
        summary = Path(data_dir) / SUMMARY_FILE
        if not limits and summary.exists():
            shutil.copy(summary, folder / SUMMARY_FILE)
        seal(folder, schema)
    return output_dir


def _write_first(
    data_dir: str | Path, folder: Path, split: str, count: int
) -> None:
    shards = list(split_files(data_dir, split))
    dealt = tf.data.Dataset.from_tensor_slices([str(s) for s in shards])
    records = dealt.interleave(
        tf.data.TFRecordDataset, cycle_length=len(shards), block_length=1
    ).take(count)
    writers = [tf.io.TFRecordWriter(str(folder / s.name)) for s in shards]
    number = 0
    for block in records.batch(_BLOCK_REQUESTS).as_numpy_iterator():
        for record in block:
            writers[number % len(writers)].write(record)
            number += 1
    for writer in writers:
        writer.close()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
