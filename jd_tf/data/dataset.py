"""A data set on disk: shards, schema and manifest in one folder."""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from jd_tf.data.files import checksum, read_json, sync, sync_tree, write_json
from jd_tf.data.records import RequestWriter, count_records
from jd_tf.data.suspicions import Suspicions
from jd_tf.schema import DataError, Schema

SCHEMA_FILE = "schema.json"
MANIFEST_FILE = "manifest.json"
SUMMARY_FILE = "summary.json"
SPLITS = ("train", "validation", "test")
# In the name of a folder that is being written.
_UNFINISHED = ".unfinished-"


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """Returns the file name of a shard."""
    return f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"


class SplitWriter(contextlib.ExitStack):
    """Deals the requests of one split to its shards in turn."""

    def __init__(
        self,
        folder: Path,
        split: str,
        num_shards: int,
        schema: Schema,
        suspicions: Suspicions | None = None,
    ):
        super().__init__()
        self.num_requests = 0
        self._split, self._ids = split, set[bytes]()
        self._suspicions = suspicions or Suspicions(schema)
        names = [shard_name(split, n, num_shards) for n in range(num_shards)]
        self._shards = [
            self.enter_context(RequestWriter(folder / name, schema))
            for name in names
        ]

    def write(self, request: Mapping[str, Any]) -> None:
        """Appends a request; see `RequestWriter.write`.

        Raises:
            DataError: likewise, and for an id that the split has already.
        """
        shard = self._shards[self.num_requests % len(self._shards)]
        checked = shard.write(request)
        # As it is stored: 1, "1" and b"1" are the same id.
        name = checked["request_id"].item()
        if name in self._ids:
            raise DataError(
                f"request {name.decode('utf-8', 'replace')!r}: split "
                f"`{self._split}` has a request of that id already; "
                "predictions are joined by it. Number them."
            )
        self._suspicions.add(self._split, checked)
        self._ids.add(name)
        self.num_requests += 1


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder; an OSError where another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a folder that becomes `path` at the end, whole or not at all.

    A `path` that is taken is refused; with `overwrite` it is replaced. What a
    killed process left of it is removed.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file, not a folder.")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise DataError(
            f"{path}: exists and is not empty. Name another folder, or pass "
            "--overwrite to replace it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}{_UNFINISHED}"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        # Of a process that lives, or on a file system without locks.
        with contextlib.suppress(OSError), _locked(left):
            shutil.rmtree(left)
    aside = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, aside, ignore_errors=True)
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(aside))
        yield aside
        # mkdtemp makes folders private; a published one is not.
        aside.chmod(0o755)
        sync_tree(aside)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=".old.", dir=path.parent))
            os.rename(path, old / path.name)
            os.rename(aside, path)
            shutil.rmtree(old)
        else:
            os.rename(aside, path)
        sync(path.parent)


def write_dataset(
    output_dir: str | Path,
    schema: Schema,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    num_shards: int = 2,
    summary: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes requests as shards with schema and manifest, atomically.

    Args:
        output_dir: the new folder.
        schema: every request is checked against it.
        splits: requests of "train", "validation", "test" and any "test_..."
            beside it; dealt to the shards in turn.
        num_shards: files per split.
        summary: written to `summary.json`, if given.
        overwrite: replaces an existing folder.

    Returns:
        Requests per split.

    Raises:
        DataError: naming the request, the column and the value, the split, or
            the folder that is taken; then nothing is written. Of what is
            possible, but seldom meant, a line is logged: see `Suspicions`.

    Example:
        >>> import tempfile
        >>> from jd_tf.data import read_schema, write_dataset
        >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
        >>> schema = Schema(
        ...     name="shop",
        ...     item_columns=(IdColumn("item_id", num_buckets=100),),
        ...     behaviors=(Behavior("click", max_length=10),),
        ...     objectives=(Objective("click", 1.0),),
        ...     max_candidates=5,
        ... )
        >>> request = {
        ...     "request_id": "1",
        ...     "user_id": 17,
        ...     "request_time": 0,
        ...     "click_item_id": [3, 8],
        ...     "click_event_time": [-5, -60],
        ...     "item_id": [4, 5, 6],
        ...     "labels": [[0.0], [1.0], [0.0]],
        ...     "label_weights": [[1.0], [1.0], [1.0]],
        ... }
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     counts = write_dataset(
        ...         f"{folder}/data", schema, {"train": [request]}
        ...     )
        ...     same = read_schema(f"{folder}/data") == schema
        >>> counts, same
        ({'train': 1}, True)
    """
    counts, suspicions = {}, Suspicions(schema)
    if not splits:
        raise DataError(f"{output_dir}: there is no split to write.")
    for split in splits:
        if split not in SPLITS and not split.startswith("test_"):
            raise DataError(
                f"there is no split `{split}`: a split is {', '.join(SPLITS)} "
                "or test_<name>."
            )
    with new_folder(output_dir, overwrite) as folder:
        for split, requests in splits.items():
            with SplitWriter(
                folder, split, num_shards, schema, suspicions
            ) as writer:
                for request in requests:
                    writer.write(request)
            counts[split] = writer.num_requests
            if not counts[split]:
                raise DataError(
                    f"split `{split}` has no request. Leave it out, or cut "
                    "the log elsewhere."
                )
        for line in suspicions.lines():
            logging.warning("%s: %s", output_dir, line)
        if summary is not None:
            write_json(folder / SUMMARY_FILE, summary)
        seal(folder, schema)
    return counts


def seal(folder: Path, schema: Schema) -> None:
    """Writes schema and manifest of the shards that lie in the folder."""
    schema.save(folder / SCHEMA_FILE)
    manifest = {
        path.name: {
            "records": count_records(path),
            "bytes": path.stat().st_size,
            "sha256": checksum(path),
        }
        for path in sorted(folder.glob("*.tfrecord"))
    }
    write_json(folder / MANIFEST_FILE, manifest)


def read_schema(data_dir: str | Path) -> Schema:
    """Reads the schema of a data folder; see `write_dataset`."""
    if not Path(data_dir).is_dir():
        raise DataError(
            f"{data_dir}: no such folder. Make one with "
            "`python -m experiments.make_data`."
        )
    return Schema.load(Path(data_dir) / SCHEMA_FILE)


def split_files(data_dir: str | Path, split: str) -> dict[Path, int]:
    """Returns the record count of each shard of a split, all checked."""
    folder = Path(data_dir)
    manifest_path = folder / MANIFEST_FILE
    counts: dict[Path, int] = {}
    if manifest_path.exists():
        for name, entry in read_json(manifest_path).items():
            if not name.startswith(f"{split}-"):
                continue
            path = folder / name
            if not path.exists():
                raise DataError(f"{path}: missing, but in {MANIFEST_FILE}.")
            size = path.stat().st_size
            if size != entry["bytes"]:
                raise DataError(
                    f"{path}: has {size} bytes, its manifest "
                    f"{entry['bytes']}: truncated or changed. Copy or make "
                    "the data again."
                )
            counts[path] = entry["records"]
    else:
        for path in sorted(folder.glob(f"{split}-*.tfrecord")):
            counts[path] = count_records(path)
    if not sum(counts.values()):
        have = sorted({f.name.split("-")[0] for f in folder.glob("*.tfrecord")})
        raise DataError(
            f"{folder}: no requests of split `{split}`. Splits there: {have}."
        )
    return counts


def fingerprint(data_dir: str | Path, splits: Iterable[str]) -> str:
    """Returns a text that differs where the requests of the splits do."""
    path = Path(data_dir) / MANIFEST_FILE
    manifest = read_json(path) if path.exists() else {}
    digest = hashlib.sha256()
    for split in splits:
        for shard in split_files(data_dir, split):
            known = manifest.get(shard.name, {}).get("sha256")
            digest.update(f"{split} {known or checksum(shard)}\n".encode())
    return digest.hexdigest()[:16]
