"""Padded batches of requests from sealed data folders.

The order of requests is a function of the seed and the epoch alone, so a
position in the data is two numbers, and a resumed run sees what an
uninterrupted one would have seen.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.dataset import read_schema, split_files
from jd_tf.schema import TRAINING_ROLES, Column, DataError, Role, Schema

READ_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)

_SHUFFLE_BUFFER = 8192
_INTERLEAVED_FILES = 4
_PARALLEL_CALLS = 2
_COUNTS = tf.io.RaggedFeature(tf.int64, row_splits_dtype="int64")


def read_batches(
    data_dir: str | Path,
    split: str,
    batch_size: int,
    schema: Schema | None = None,
    shuffle_seed: int | None = None,
    epoch: int = 0,
    skip_batches: int = 0,
    every: int = 1,
    bucket_batches: int = 0,
    keys: bool = False,
    reward: bool = False,
    oracle: bool = False,
) -> tf.data.Dataset:
    """Reads batches of one pass over a split, as flat dicts of dense tensors.

    Args:
        data_dir: folder made by `write_dataset` or `make_data`.
        split: "train", "validation" or "test".
        batch_size: requests a batch; the last one may be smaller.
        schema: refused where the folder's differs; by default the folder's.
        shuffle_seed: order of requests; as written without it.
        epoch: number of the pass; each is shuffled differently.
        skip_batches: batches of this pass that were read before.
        every: reads the first of every so many requests.
        bucket_batches: batches within which shuffled requests of like size
            come together, so that one long history pads few; 0: none.
        keys: adds the ids of request and user.
        reward: adds the reward column.
        oracle: adds the simulated truth.

    Returns:
        A data set of dicts; shapes as in `Schema.columns`, padded with 0 or
        "" to the longest of the batch, with lengths beside.

    Raises:
        DataError: if folder, split, files or columns are not as they should.

    Example:
        >>> import tempfile
        >>> from jd_tf.data import make_dataset, read_batches
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = make_dataset(
        ...         "simulator",
        ...         f"{folder}/shop",
        ...         num_processes=1,
        ...         num_users=20,
        ...         num_items=100,
        ...         num_requests=300,
        ...     )
        ...     batches = read_batches(f"{folder}/shop", "train", 8)
        ...     batch = next(iter(batches))
        >>> batch["labels"].shape[0], batch["labels"].shape[2]
        (8, 6)
    """
    stored = read_schema(data_dir)
    if schema is not None:
        schema.check_same(stored, str(data_dir))
    counts = split_files(data_dir, split)
    extra = {Role.KEY: keys, Role.REWARD: reward, Role.ORACLE: oracle}
    columns = stored.columns(
        *TRAINING_ROLES, *(role for role, asked in extra.items() if asked)
    )
    for path in counts:
        _check_columns(path, columns)
    paths = [str(path) for path, count in counts.items() if count]
    if shuffle_seed is None:
        dataset = tf.data.TFRecordDataset(paths)
    else:
        # A stream of its own for every epoch, whatever the seed.
        sequence = np.random.SeedSequence([shuffle_seed, epoch])
        seed = int(sequence.generate_state(1)[0])
        np.random.default_rng(sequence).shuffle(paths)
        dataset = tf.data.Dataset.from_tensor_slices(paths).interleave(
            tf.data.TFRecordDataset,
            cycle_length=_INTERLEAVED_FILES,
            block_length=16,
            num_parallel_calls=_PARALLEL_CALLS,
            deterministic=True,
        )
        dataset = _shuffle(dataset, seed)
        if bucket_batches:
            dataset = (
                dataset.batch(bucket_batches * batch_size)
                .enumerate()
                .map(
                    lambda number, window: _bucket(
                        window, batch_size, tf.stack([seed, number])
                    )
                )
                .unbatch()
            )
    dataset = (
        dataset.shard(every, 0)
        .batch(batch_size)
        .skip(skip_batches)
        .map(
            # Nothing in it is Python of a tensor; converting takes a second.
            tf.autograph.experimental.do_not_convert(
                lambda records: parse_requests(records, columns)
            ),
            num_parallel_calls=_PARALLEL_CALLS,
            deterministic=True,
        )
        .prefetch(4)
    )
    return without_autotune(dataset)


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns it, in order, and without what idles for seconds at its end."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def traced_once(
    function: Callable[[dict[str, tf.Tensor]], Any],
    batches: tf.data.Dataset,
) -> Callable[[dict[str, tf.Tensor]], Any]:
    """Returns the function as a graph for batches of any size and width.

    Traced from batches as they come, it would be traced anew for several
    widths, seconds each.

    Args:
        function: of a batch of the data set.
        batches: of `read_batches`; data of equal schema will do as well.
    """
    specs = [batches.element_spec]
    return tf.function(function, input_signature=specs, autograph=False)


def parse_requests(
    records: tf.Tensor, columns: tuple[Column, ...]
) -> dict[str, tf.Tensor]:
    """Parses (B,) serialised requests; lengths must be among the columns."""
    features = {c.name: _feature(c) for c in columns}
    features |= {c.counts: _COUNTS for c in columns if c.multi_valued}
    parsed = tf.io.parse_example(records, features)
    batch = {}
    for column in columns:
        tensor = parsed[column.name]
        if column.multi_valued:
            tensor = _values(column, parsed)
        elif column.ragged:
            expected = parsed[column.length] * max(column.inner, 1)
            check = tf.debugging.assert_equal(
                tensor.row_lengths(),
                expected,
                f"column `{column.name}` disagrees with `{column.length}`",
            )
            with tf.control_dependencies([check]):
                tensor = tensor.to_tensor()
            if column.inner:
                shape = tf.shape(tensor)
                # Not -1: an all-empty history has no elements to infer from.
                width = shape[1] // column.inner
                tensor = tf.reshape(tensor, (shape[0], width, column.inner))
        if tensor.dtype != column.dtype:
            # Where numbers do not fit, the largest that do: nothing wraps.
            tensor = tf.saturate_cast(tensor, column.dtype)
        batch[column.name] = tensor
    return batch


def _values(column: Column, parsed: Mapping[str, Any]) -> tf.Tensor:
    """Pads the values of each item, and the items of each request."""
    values, counts = parsed[column.name], parsed[column.counts]
    number, least, most = counts.flat_values, 0, column.inner
    checks = [
        tf.debugging.assert_equal(*pair, f"column `{column.name}` {problem}")
        for pair, problem in (
            (
                (counts.row_lengths(), parsed[column.length]),
                f"disagrees with `{column.length}`",
            ),
            (
                (tf.clip_by_value(number, least, most), number),
                f"holds fewer than {least} or more than {most} values of an "
                f"item, says `{column.counts}`",
            ),
            (
                (tf.reduce_sum(counts, axis=1), values.row_lengths()),
                f"disagrees with `{column.counts}`",
            ),
        )
    ]
    with tf.control_dependencies(checks):
        items = tf.RaggedTensor.from_row_lengths(
            values.flat_values, counts.flat_values, validate=False
        )
    return counts.with_values(items).to_tensor(shape=(None, None, column.inner))


def _shuffle(dataset: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """Shuffles records by this seed alone.

    `Dataset.shuffle` takes a global seed as well: that of the program, or in
    a function that of its graph, which is set here.
    """

    def shuffled(_: tf.Tensor) -> tf.data.Dataset:
        tf.compat.v1.set_random_seed(seed)
        return dataset.shuffle(
            _SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False
        )

    return tf.data.Dataset.range(1).flat_map(shuffled)


def _bucket(records: tf.Tensor, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Sorts records by size, then shuffles whole batches of them."""
    order = tf.argsort(tf.strings.length(records), stable=True)
    full = tf.size(order) // batch_size
    batches = tf.reshape(order[: full * batch_size], (full, batch_size))
    batches = tf.random.experimental.stateless_shuffle(batches, seed)
    # What fills no batch stays at the end, or it would shift the others.
    rest = order[full * batch_size :]
    return tf.gather(records, tf.concat([tf.reshape(batches, [-1]), rest], 0))


def numpy_batches(
    data_dir: str | Path, split: str, batch_size: int, **options: Any
) -> Iterator[dict[str, np.ndarray]]:
    """Reads `read_batches` as NumPy arrays, with errors that name the file."""
    dataset = read_batches(data_dir, split, batch_size, **options)
    try:
        yield from dataset.as_numpy_iterator()
    except READ_ERRORS as error:
        raise explain_read_error(error, data_dir, split) from error


def explain_read_error(
    error: tf.errors.OpError, data_dir: str | Path, split: str
) -> DataError:
    """Returns an error that names the first bad record of a split."""
    columns = read_schema(data_dir).columns(*TRAINING_ROLES)
    for path in split_files(data_dir, split):
        number = 0
        try:
            for record in tf.data.TFRecordDataset(str(path)):
                parse_requests(record[tf.newaxis], columns)
                number += 1
        except READ_ERRORS as found:
            reason = found.message.splitlines()[0].removesuffix(".")
            return DataError(
                f"{path}: record {number}: {reason}. Make the data again."
            )
    return DataError(f"{data_dir}: split `{split}`: {error.message}")


def _feature(column: Column) -> Any:
    dtype = "int64" if column.dtype == "int32" else column.dtype
    if column.ragged:
        return tf.io.RaggedFeature(tf.as_dtype(dtype), row_splits_dtype="int64")
    shape = (column.inner,) if column.inner else ()
    return tf.io.FixedLenFeature(shape, tf.as_dtype(dtype))


def _check_columns(path: Path, columns: tuple[Column, ...]) -> None:
    """Refuses a first record without a column, which would pass for empty."""
    try:
        first = next(iter(tf.data.TFRecordDataset(str(path)).take(1)), None)
        if first is None:
            return
        example = tf.train.Example.FromString(first.numpy())
    except Exception as error:
        raise DataError(
            f"{path}: record 0: not a request: {error}. Make the data again."
        ) from error
    for column in columns:
        if column.name not in example.features.feature:
            old = column.name.replace("_event_time", "_age_seconds")
            raise DataError(
                f"{path}: record 0: no column `{column.name}`, which the "
                "schema asks for. Make the data again with this schema"
                + (
                    f" by `python -m experiments.make_data`: `{old}` is of "
                    "jd_tf 0.2, which had no times."
                    if old in example.features.feature
                    else "."
                )
            )
