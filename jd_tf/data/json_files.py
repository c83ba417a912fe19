"""JSON files."""

import json
from pathlib import Path
from typing import Any

from jd_tf.data.files import write_whole
from jd_tf.schema import DataError


def read_json(path: Path) -> Any:
    """Reads a JSON file; its name stands in the error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not JSON: {error}.") from error


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, aside and then renamed."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, text.encode("utf-8") + b"\n")
