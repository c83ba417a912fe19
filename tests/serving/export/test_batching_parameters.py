"""Batching files are what a model server parses, and serve every request."""

import pytest

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.batching_parameters import (
    batching_parameters,
    read_batching,
)
from jd_tf.serving.protos.messages import BatchingParameters, parse_text


def test_what_is_written_is_what_a_server_reads(tmp_path):
    path = tmp_path / "batching_params.pbtxt"
    path.write_text(batching_parameters((1, 3, 9)))
    parsed = parse_text(path.read_text(), BatchingParameters, "here")
    assert list(parsed.allowed_batch_sizes) == [1, 3, 9]
    assert parsed.max_batch_size.value == 9
    assert parsed.HasField("batch_timeout_micros")
    assert parsed.pad_variable_length_inputs
    assert not parsed.enable_large_batch_splitting.value
    assert read_batching(path) == (1, 3, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 4", "not a BatchingParameters"),
        ("max_batch { value: 4 }", "no field named"),
        ('max_batch_size { value: "4" }', "integer"),
        (
            "allowed_batch_sizes: 4 allowed_batch_sizes: 2 "
            "max_batch_size { value: 2 } pad_variable_length_inputs: true",
            "must ascend",
        ),
        (
            "allowed_batch_sizes: 2 allowed_batch_sizes: 4 "
            "max_batch_size { value: 8 } pad_variable_length_inputs: true",
            "the last of `allowed_batch_sizes` must be",
        ),
        (
            "allowed_batch_sizes: 0 max_batch_size { value: 0 } "
            "pad_variable_length_inputs: true",
            "must be >= 1",
        ),
        (
            "allowed_batch_sizes: 4 max_batch_size { value: 4 }",
            "fails all others of its batch",
        ),
    ],
)
def test_what_a_server_would_refuse_is_refused(tmp_path, text, message):
    path = tmp_path / "batching_params.pbtxt"
    path.write_text(text)
    with pytest.raises(ExportError, match=message) as caught:
        read_batching(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ExportError, match="no such file"):
        read_batching(tmp_path / "batching_params.pbtxt")
