"""CSV files become Parquet files of texts, the same for every engine."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.config_parts import TableConfig
from jd_tf.schema import DataError

_BLOCK_BYTES = 4 << 20
_ERRORS = (pa.ArrowException, OSError, EOFError, ValueError, LookupError)


def stage_csv(
    path: Path,
    config: TableConfig,
    columns: Iterable[str],
    staged: Path,
    report: LogReport,
) -> list[str]:
    """Copies columns of a CSV file, as they are, to a Parquet file.

    Rows with too few or too many values are bad records.

    Args:
        path: the file, gzipped or not.
        config: its encoding and separator.
        columns: those to copy; the ones that are not there are left out.
        staged: the new file.
        report: counts bad records.

    Returns:
        What is wrong with each of these.
    """
    problems: list[str] = []
    counted = 0

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        problems.append(
            f"{path}: a row has {row.actual_columns} values, its header "
            f"{row.expected_columns}: {row.text[:60]!r}"
        )
        return "skip"

    try:
        with _open(path, config, None, skip) as reader:
            there = reader.schema.names
        twice = [one for one in set(columns) if there.count(one) > 1]
        if twice:
            raise DataError(
                f"{path}: has several columns `{twice[0]}`. Name them apart."
            )
        # Without any of them: all, for the error that names those there are.
        wanted = [
            one for one in dict.fromkeys(columns) if one in there
        ] or there
        problems.clear()
        texts = pa.schema([(name, pa.string()) for name in wanted])
        with (
            _open(path, config, wanted, skip) as reader,
            pyarrow.parquet.ParquetWriter(staged, texts) as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
                for problem in problems[counted:]:
                    report.tolerate(problem)
                counted = len(problems)
        for problem in problems[counted:]:
            report.tolerate(problem)
    except DataError:
        raise
    except _ERRORS as error:
        raise DataError(
            f"{path}: cannot be read as CSV in {config.encoding!r}: "
            f"{str(error).splitlines()[0]}. Copy it again, or set `encoding` "
            "(utf-8, gb18030 ...) and `separator`."
        ) from error
    return problems


def _open(
    path: Path, config: TableConfig, columns: list[str] | None, skip: object
) -> pyarrow.csv.CSVStreamingReader:
    strings = {name: pa.string() for name in columns or ()}
    return pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(
            block_size=_BLOCK_BYTES,
            encoding=config.encoding,
            column_names=config.names or None,
        ),
        pyarrow.csv.ParseOptions(
            delimiter=config.separator,
            invalid_row_handler=skip,
            # Blocks end where rows end, not amid a text of two lines.
            newlines_in_values=True,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=strings,
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
