"""A smaller data folder: the first requests of some splits."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from jd_tf.data.dataset import (
    SCHEMA_FILE,
    new_folder,
    read_schema,
    seal,
    split_files,
)
from jd_tf.schema import DataError


def first_requests(
    data_dir: str | Path, output_dir: str | Path, limits: Mapping[str, int]
) -> Path:
    """Makes a data folder of every split's first requests, or checks it."""
    schema, output_dir = read_schema(data_dir), Path(output_dir)
    expected = {}
    for split, limit in limits.items():
        if limit < 0:
            raise DataError(f"split `{split}`: cannot take {limit} requests.")
        if limit:
            available = sum(split_files(data_dir, split).values())
            expected[split] = min(limit, available)
    if (output_dir / SCHEMA_FILE).exists():
        read_schema(output_dir).check_same(schema, str(data_dir))
        for split, count in expected.items():
            found = sum(split_files(output_dir, split).values())
            if found != count:
                raise DataError(
                    f"{output_dir}: holds {found} requests of split `{split}`, "
                    f"not {count}. Name another folder."
                )
        return output_dir
    with new_folder(output_dir) as folder:
        for shard in sorted(Path(data_dir).glob("*.tfrecord")):
            if shard.name.split("-")[0] not in expected:
                try:
                    os.link(shard, folder / shard.name)
                except OSError:
                    shutil.copy(shard, folder / shard.name)
        for split, count in expected.items():
            _write_first(list(split_files(data_dir, split)), folder, count)
        seal(folder, schema)
    return output_dir


def _write_first(shards: list[Path], folder: Path, count: int) -> None:
    in_turn = tf.data.Dataset.from_tensor_slices([str(s) for s in shards])
    records = in_turn.interleave(
        tf.data.TFRecordDataset, cycle_length=len(shards), block_length=1
    ).take(count)
    writers = [tf.io.TFRecordWriter(str(folder / s.name)) for s in shards]
    for number, record in enumerate(records.as_numpy_iterator()):
        writers[number % len(writers)].write(record)
    for writer in writers:
        writer.close()
