"""Every block of README and docs runs, as written, in a clean checkout.

Minutes: `make test-docs`. A folder of its own for each section.
"""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, all_blocks

pytestmark = pytest.mark.slow


def sections():
    """Yields (page and section, blocks that are run)."""
    blocks = [block for block in all_blocks() if not block.not_run]
    key = "page", "section"
    for place, group in itertools.groupby(
        blocks, lambda block: tuple(getattr(block, name) for name in key)
    ):
        found = list(group)
        if any(block.shown for block in found):
            yield pytest.param(found, id=": ".join(place))


def clean_checkout(folder: Path) -> Path:
    """Copies what git knows of the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, folder / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    return folder


def run_here(folder: Path, module: str, text: str) -> None:
    """Runs a module in a checkout; its `python` is that of the tests."""
    python = Path(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "CUDA_VISIBLE_DEVICES": "",
    }
    finished = subprocess.run(
        [str(python), "-m", module],
        input=text,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(finished.stdout)
    assert finished.returncode == 0, finished.stdout[-3000:]


@pytest.mark.parametrize("blocks", list(sections()))
def test_blocks_run_in_order(blocks, tmp_path):
    text = json.dumps([dataclasses.asdict(block) for block in blocks])
    run_here(clean_checkout(tmp_path), "tests.docs.run_blocks", text)


def test_a_block_that_fails_is_seen(tmp_path):
    block = {
        "page": "page",
        "line": 1,
        "save_as": "",
        "language": "sh",
        "text": "false\ntrue\n",
    }
    with pytest.raises(AssertionError, match="page:1"):
        run_here(
            clean_checkout(tmp_path),
            "tests.docs.run_blocks",
            json.dumps([block]),
        )


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")),
    ids=lambda path: path.stem,
)
def test_notebooks_run(path, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")
    folder = clean_checkout(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    printed = [
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    assert any("best 5 of" in text for text in printed)
