"""`python -m experiments.similarity_report`: what it prints and refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.similarity_report import _named
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.schema import DataError

ROOT = Path(__file__).resolve().parents[2]


def _run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.similarity_report", *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_it_writes_the_page_then_names_what_is_missing(tmp_path):
    rows = [f"{i},,{'hat' if i % 2 else 'shoe'}" for i in range(1, 21)]
    catalogue = tmp_path / "a catalogue.csv"
    catalogue.write_text("\n".join(["item_id,path,word", *rows]))
    vectors = np.eye(2, dtype=np.float32)[np.arange(1, 21) % 2]
    ItemVectors(np.arange(1, 21), vectors).save(tmp_path / "ideal.npz")
    flags = [
        f"--catalogue={catalogue}",
        f"--output={tmp_path / 'out'}",
        f"--vectors=ideal={tmp_path / 'ideal.npz'}",
        "--num_neighbours=5",
    ]
    finished = _run(*flags)
    assert finished.returncode == 0, finished.stderr
    assert "category" in finished.stdout
    assert "1.0000 (at random 0.4737)" in finished.stdout
    assert (tmp_path / "out" / "similarity.html").is_file()

    refused = _run(*flags, f"--gates={tmp_path / 'gates.npz'}")
    assert refused.returncode == 2
    lines = refused.stderr.splitlines()
    (line,) = [line for line in lines if line.startswith("error: ")]
    assert "gates.npz: no such file of gates" in line
    assert "Traceback" not in refused.stderr


def test_spaces_have_names():
    assert _named(["a=x.npz", "dir/b.npz"]) == {"a": "x.npz", "b": "dir/b.npz"}
    for texts in (["=x.npz"], ["a="], ["a=x", "a=y"], ["gates=x"]):
        with pytest.raises(DataError, match="--vectors are"):
            _named(texts)


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import experiments.similarity_report, sys; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
