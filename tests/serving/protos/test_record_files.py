"""Record files against TensorFlow's own reader and writer."""

import resource

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.records import count_records
from jd_tf.schema import DataError
from jd_tf.serving.protos.record_files import RecordWriter, iterate_records


def read(path):
    return [r.numpy() for r in tf.data.TFRecordDataset(str(path))]


def test_tensorflow_reads_and_writes_the_same(tmp_path):
    generator = np.random.default_rng(3)
    records = [generator.bytes(n) for n in (0, 1, 7, 300, 70_000)]
    writer = RecordWriter(tmp_path / "ours")
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as other:
        for record in records:
            writer.write(record)
            other.write(record)
    # Complete before it is closed: whoever is killed loses nothing.
    assert read(tmp_path / "ours") == records
    writer.close()
    ours, theirs = (tmp_path / n for n in ("ours", "theirs"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert count_records(ours) == len(records)


def test_a_record_that_cannot_be_written_leaves_no_trace(tmp_path):
    path = tmp_path / "records"
    writer = RecordWriter(path)
    writer.write(b"first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="large"):
            writer.write(b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.write(b"second")
    writer.close()
    assert read(path) == [b"first", b"second"]


def test_what_tensorflow_wrote_is_read(tmp_path):
    records = [np.random.default_rng(3).bytes(n) for n in (0, 1, 7, 70_000)]
    path = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    assert list(iterate_records(path)) == records


def test_cut_and_changed_files_name_the_record(tmp_path):
    path = tmp_path / "records"
    writer = RecordWriter(path)
    for record in (b"first", b"second"):
        writer.write(record)
    writer.close()
    content = path.read_bytes()
    whole = {0: [], 21: [b"first"]}
    for size in range(len(content)):
        path.write_bytes(content[:size])
        if size in whole:
            assert list(iterate_records(path)) == whole[size]
        else:
            with pytest.raises(DataError, match=r"records: record \d is cut"):
                list(iterate_records(path))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x40
        path.write_bytes(changed)
        with pytest.raises(DataError, match=r"records: record \d"):
            list(iterate_records(path))
