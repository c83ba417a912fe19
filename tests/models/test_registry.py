"""Models by name, and configs by dotted names."""

import dataclasses
import textwrap

import pytest

from jd_tf.columns import DataError
from jd_tf.models.config_fields import (
    config_from_json,
    flat_fields,
    replace_fields,
)
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.models.ranking.pooled_mmoe import PooledMMoEConfig
from jd_tf.models.registry import (
    get_model,
    load_model_module,
    model_names,
    register_model,
)
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.training.config import TrainingConfig


def test_unknown_names_list_the_known():
    with pytest.raises(DataError, match=r"`nobody`.*jd_ranker, .*pooled_mmoe"):
        get_model("nobody")


def test_a_name_belongs_to_one_class():
    class Impostor:
        pass

    get_model("jd_ranker")
    with pytest.raises(DataError, match="registered as JDRanker"):
        register_model("jd_ranker", RankerConfig)(Impostor)


def test_a_module_of_a_user_registers(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        textwrap.dedent(
            """
            from jd_tf.models.base import RankingModel
            from jd_tf.models.ranker_config import RankerConfig
            from jd_tf.models.registry import register_model

            @register_model("registry_test_model", RankerConfig)
            class Own(RankingModel):
                pass
            """
        )
    )
    load_model_module(path)
    load_model_module(path)
    entry = get_model("registry_test_model")
    assert entry.module_file == str(path)
    assert "registry_test_model" in model_names()


def test_modules_that_cannot_be_run_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.py: no such file"):
        load_model_module(tmp_path / "none.py")
    (tmp_path / "bad.py").write_text("1 / 0\n")
    with pytest.raises(DataError, match=r"bad\.py: ZeroDivisionError"):
        load_model_module(tmp_path / "bad.py")


def test_config_goes_through_json():
    config = JDRankerConfig.of(num_heads=2, fusion="global", expert_units=(8,))
    stored = dataclasses.asdict(config)
    stored["head"]["expert_units"] = [8]
    assert config_from_json(JDRankerConfig, stored) == config


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("sequence.num_heads", 2, "sequence.num_heads", 2),
        ("num_heads", "2", "sequence.num_heads", 2),
        ("fusion", "global", "fusion.kind", "global"),
        ("fusion_form", "additive", "fusion.form", "additive"),
        ("fusion_weights", "(1, 2.5)", "fusion.weights", (1.0, 2.5)),
        ("use_recency", "false", "sequence.use_recency", False),
        ("expert_units", [8, 4], "head.expert_units", (8, 4)),
        ("dropout_rate", 0, "head.dropout_rate", 0.0),
    ],
)
def test_fields_by_dotted_and_short_names(name, value, key, expected):
    config = replace_fields(JDRankerConfig(), {name: value})
    before, after = flat_fields(JDRankerConfig()), flat_fields(config)
    assert after[key] == expected
    assert {k for k in after if after[k] != before[k]} <= {key}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_recencyy": True}, "no field `use_recencyy`; near: sequence.use"),
        ({"num_heads": "two"}, "`num_heads` must be int. Got: 'two'"),
        ({"num_heads": True}, "`num_heads` must be int"),
        ({"calibrate": 1}, "`calibrate` must be bool"),
        ({"use_images": "raw"}, "`use_images` must be one of"),
    ],
)
def test_wrong_changes_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        replace_fields(JDRankerConfig(), changes)


def test_stored_fields_that_are_unknown_are_named():
    with pytest.raises(DataError, match="HeadConfig has no field `width`"):
        config_from_json(JDRankerConfig, {"head": {"width": 3}})


@pytest.mark.parametrize(
    "config",
    [JDRankerConfig(), PooledMMoEConfig(), TwoTowerConfig(), TrainingConfig()],
    ids=lambda config: type(config).__name__,
)
def test_every_field_can_be_written_at_the_prompt(config):
    """`--set=model.NAME=TEXT` gives what the text stands for."""
    fields = flat_fields(config)
    for name, value in fields.items():
        changed = replace_fields(config, {name: str(value)})
        assert flat_fields(changed) == fields, name
