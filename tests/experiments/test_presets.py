"""Every source has a demo whose options it takes."""

import dataclasses
import inspect

import pytest

from experiments.presets import (
    QUICKSTART_PRESETS,
    find_preset,
    fitting_training,
)
from jd_tf.data.sources import SOURCES
from jd_tf.data.tables.config_reading import LOGS
from jd_tf.schema import DataError
from tests.experiments.programs import run_program


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_source_takes_what_its_demo_gives(name):
    preset = QUICKSTART_PRESETS[name, "demo"]
    known = set(inspect.signature(SOURCES[name]).parameters)
    assert set(preset.data) <= known
    assert preset.random_data == ("seed" in known)


def test_quickstart_offers_every_source_with_a_demo():
    shown = run_program("quickstart", "--help").stdout
    # A long list begins on a line of its own.
    offered = "".join(shown.split()).split("--source:<")[1].split(">")[0]
    names = set(offered.split("|"))
    assert names == {"simulator", "tables", *SOURCES, *LOGS}


def test_a_training_watches_an_objective_that_is_there():
    training = QUICKSTART_PRESETS["tables", "demo"].training
    assert training.monitor == "auc/click"
    assert fitting_training(training, ("order", "click")) is training
    other = fitting_training(training, ("cart", "buy"))
    assert other.monitor == "auc/cart"
    assert other.epochs == training.epochs
    whole = dataclasses.replace(training, monitor="gauc")
    assert fitting_training(whole, ("cart",)) is whole


def test_logs_have_the_preset_of_tables_or_one_of_their_own():
    for name in LOGS:
        preset = find_preset(name)
        assert not preset.random_data
        assert not preset.data
    tables = QUICKSTART_PRESETS["tables", "demo"]
    assert find_preset("retailrocket") is tables
    assert find_preset("kuairand") is not tables
    with pytest.raises(DataError, match="`kuairand` has no preset `long`"):
        find_preset("kuairand", "long")
