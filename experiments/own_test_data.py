"""A test set of one's own, for programs that judge."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jd_tf.data.dataset import SCHEMA_FILE, shard_name
from jd_tf.schema import DataError, Schema


@contextlib.contextmanager
def open_test_data(
    path: str | Path | None, workdir: str | Path
) -> Iterator[Path | None]:
    """Yields the folder whose `test` split is judged; None for none.

    Args:
        path: a data folder, or a file of requests with labels: JSON, JSON
            lines, or TFRecords as in a data folder.
        workdir: folder of a run, whose schema the requests must have.

    Raises:
        DataError: there is no such file, or it does not hold such requests.
    """
    if path is None:
        yield None
        return
    path = Path(path).resolve()
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise DataError(f"--test_input={path}: no such file or folder.")
    schema = Schema.load(Path(workdir) / SCHEMA_FILE)
    with tempfile.TemporaryDirectory(prefix="jd_tf_test_") as parent:
        folder = Path(parent) / "data"
        with path.open("rb") as file:
            is_records = b"\0" in file.read(4096)
        shard = folder / shard_name("test", 0, 1)
        if is_records:
            folder.mkdir()
            schema.save(folder / SCHEMA_FILE)
            shard.symlink_to(path)
        else:
            from jd_tf.data.dataset import write_dataset
            from jd_tf.serving.client.request_file import read_requests

            try:
                requests = read_requests(path, schema)
                write_dataset(folder, schema, {"test": requests}, 1)
            except DataError as error:
                raise DataError(f"--test_input={path}: {error}") from error
        try:
            yield folder
        except DataError as error:
            named = str(error).replace(str(shard), f"--test_input={path}")
            raise DataError(named) from error
