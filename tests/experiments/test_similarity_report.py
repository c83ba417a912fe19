"""`python -m experiments.similarity_report`: what it prints and refuses."""

import numpy as np
import pytest

from jd_tf.data.item_vectors import ItemVectors
from tests.experiments.programs import assert_help_is_light, run_program


def _run(*flags):
    return run_program("similarity_report", *flags)


@pytest.mark.slow
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
    assert "gates.npz: no such file. Name one" in line
    assert "Traceback" not in refused.stderr


# In a process of its own: programs imported together define flags twice.
@pytest.mark.slow
@pytest.mark.parametrize("vectors", ["=x.npz", "a=x,a=y", "gates=x"])
def test_spaces_without_a_name_of_their_own_are_refused(tmp_path, vectors):
    refused = _run(
        f"--vectors={vectors}",
        f"--catalogue={tmp_path}",
        f"--output={tmp_path / 'out'}",
    )
    assert refused.returncode == 2
    assert "error: --vectors are name=file.npz" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_help_does_not_wait_for_tensorflow():
    assert_help_is_light("similarity_report")
