"""Parquet files of one table, each of the same types."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from jd_tf.schema import DataError


def of_equal_types(
    paths: list[str], columns: Iterable[str], stage: Callable[[int], Path]
) -> list[str]:
    """Returns files whose columns have the same types: those, or copies.

    An engine takes the types of the first file, to which it would round the
    numbers of others. A column of nothing but nulls becomes one of texts.

    Args:
        paths: Parquet files; folders are left as they are.
        columns: those that are read; the ones that are not there are left out.
        stage: number of a file -> where its copy lies.

    Raises:
        DataError: a file is not Parquet, or types have nothing in common.
    """
    wanted, schemas = set(columns), []
    for path in paths:
        if not Path(path).is_file():
            return paths
        try:
            schema = pyarrow.parquet.read_schema(path)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: not Parquet, or cut off: {error}. Copy or make it "
                "again."
            ) from error
        fields = [field for field in schema if field.name in wanted]
        schemas.append(pa.schema(fields).remove_metadata())
    types = [dict(zip(s.names, s.types, strict=True)) for s in schemas]
    if all(one == types[0] for one in types) and pa.null() not in [
        *types[0].values()
    ]:
        return paths
    whole, copies = schemas[0], []
    for path, schema in zip(paths, schemas, strict=True):
        try:
            whole = pa.unify_schemas(
                [whole, schema], promote_options="permissive"
            )
        except pa.ArrowException as error:
            raise DataError(
                f"{path}: has a column of another type than {paths[0]}: "
                f"{str(error).splitlines()[0]}. Write them alike."
            ) from error
    fields = [
        pa.field(
            field.name,
            pa.string() if pa.types.is_null(field.type) else field.type,
        )
        for field in whole
    ]
    for number, (path, schema) in enumerate(zip(paths, schemas, strict=True)):
        own = pa.schema(
            [field for field in fields if field.name in schema.names]
        )
        copy = stage(number)
        if not copy.exists():
            _copy(path, own, copy)
        copies.append(str(copy))
    return copies


def _copy(path: str, schema: pa.Schema, copy: Path) -> None:
    aside = copy.with_name(f".{copy.name}")
    file = pyarrow.parquet.ParquetFile(path)
    with pyarrow.parquet.ParquetWriter(aside, schema) as writer:
        for batch in file.iter_batches(columns=schema.names):
            rows = pa.Table.from_batches([batch]).select(schema.names)
            try:
                writer.write_table(rows.cast(schema))
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"{path}: values do not fit the types of the other files: "
                    f"{str(error).splitlines()[0]}. Write them alike."
                ) from error
    aside.rename(copy)
