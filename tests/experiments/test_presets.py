"""Every source has a demo whose options it takes."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.presets import QUICKSTART_PRESETS
from jd_tf.data.sources import SOURCES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_source_takes_what_its_demo_gives(name):
    preset = QUICKSTART_PRESETS[name, "demo"]
    known = set(inspect.signature(SOURCES[name]).parameters)
    assert set(preset.data) <= known
    assert preset.random_data == ("seed" in known)


def test_quickstart_offers_every_source_with_a_demo():
    shown = subprocess.run(
        [sys.executable, "-m", "experiments.quickstart", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    # A long list begins on a line of its own.
    offered = "".join(shown.split()).split("--source:<")[1].split(">")[0]
    names = set(offered.split("|"))
    assert names == {"simulator", "tables", *SOURCES}
