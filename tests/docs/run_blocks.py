"""Runs the blocks of one section in order.

    python -m tests.docs.run_blocks < BLOCKS

reads a JSON list of blocks. Shell blocks are run by `bash -e`; Python blocks
share their names, as if they were typed one after the other.
"""

import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Runs what standard input lists; ends at the first failure."""
    names = {"__name__": "__main__"}
    for block in json.load(sys.stdin):
        place, text = f"{block['page']}:{block['line']}", block["text"]
        print(f"== {place}", flush=True)
        if block["save_as"]:
            Path(block["save_as"]).write_text(text, encoding="utf-8")
        elif block["language"] == "sh":
            subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True)
        else:
            exec(compile(text, place, "exec"), names)


if __name__ == "__main__":
    main()
