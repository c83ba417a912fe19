"""Sizes of data, model and training for each source of quickstart."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jd_tf.data.tables.config_reading import LOGS
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of data, model and training that fit together.

    Attributes:
        data: options of `make_dataset`.
        model: of the ranker.
        training: of the run.
        pairs: options of `make_item_pairs`; None leaves item pairs out.
        max_tree_impressions: impressions the boosted trees learn from at most;
            None for all.
        random_data: True if the data depend on a seed.
    """

    data: dict[str, Any]
    model: JDRankerConfig
    training: TrainingConfig
    pairs: dict[str, Any] | None = dataclasses.field(default_factory=dict)
    max_tree_impressions: int | None = None
    random_data: bool = True


_SHOP = JDRankerConfig.of(num_trees=180)
# Hundreds of requests, not tens of thousands: fewer weights, some dropout.
_SMALL = JDRankerConfig.of(
    model_dim=32,
    item_embedding_dim=16,
    feature_embedding_dim=16,
    num_heads=2,
    feedforward_dim=64,
    expert_units=(48, 24),
    tower_units=(12,),
    dropout_rate=0.2,
    num_trees=180,
)
_SMALL_TRAINING = TrainingConfig(
    epochs=30,
    batch_size=32,
    table_learning_rate=0.0003,
    patience=4,
    log_every=20,
)
# Item pairs and counts tell more than tables learn from 7,000 requests.
_SESSION_TRAINING = TrainingConfig(
    epochs=6,
    batch_size=64,
    learning_rate=0.003,
    table_learning_rate=0.00003,
    ema_decay=0.98,
    decay_steps=-1,
    log_every=20,
    monitor="auc/click",
)
# Ten thousand requests, each with many events: enough for larger batches.
_FEEDBACK_TRAINING = TrainingConfig(
    epochs=7,
    batch_size=128,
    learning_rate=0.002,
    table_learning_rate=0.00003,
    ema_decay=0.99,
    decay_steps=-1,
    log_every=20,
)
# A hundred thousand requests with short histories, a few of them long.
_SEQUENCES_TRAINING = TrainingConfig(
    epochs=3,
    batch_size=256,
    learning_rate=0.002,
    table_learning_rate=0.002,
    ema_decay=0.998,
    decay_steps=-1,
    bucket_batches=16,
    log_every=100,
    # What the protocol reports: AUC is best an epoch or two before.
    monitor="value_ndcg@10",
)

QUICKSTART_PRESETS = {
    ("simulator", "demo"): Preset(
        data={"num_requests": 40_000, "num_users": 2_000},
        model=_SHOP,
        training=TrainingConfig(
            epochs=1,
            learning_rate=0.003,
            table_learning_rate=0.003,
            decay_steps=-1,
            evaluate_every=214,
            tree_impressions=120_000,
        ),
        max_tree_impressions=60_000,
    ),
    ("simulator", "long"): Preset(
        data={"num_requests": 300_000, "num_users": 15_000},
        model=_SHOP,
        training=TrainingConfig(
            epochs=1,
            learning_rate=0.003,
            table_learning_rate=0.003,
            decay_steps=-1,
            evaluate_every=1_600,
        ),
    ),
    ("jd_micro", "demo"): Preset({}, _SMALL, _SESSION_TRAINING),
    ("jd_ranking", "demo"): Preset({}, _SMALL, _SMALL_TRAINING),
    ("kuairand", "demo"): Preset(
        {},
        # The sequence part and pairs cost more than they bring here.
        replace_fields(_SMALL, {"use_sequence": False, "num_trees": 300}),
        _FEEDBACK_TRAINING,
        pairs=None,
        random_data=False,
    ),
    ("tables", "demo"): Preset(
        {}, _SMALL, _SESSION_TRAINING, random_data=False
    ),
    ("sequences", "demo"): Preset(
        {},
        JDRankerConfig.of(dropout_rate=0.2, num_trees=180),
        _SEQUENCES_TRAINING,
        pairs={"two_steps": True},
    ),
    ("bars", "demo"): Preset(
        {},
        JDRankerConfig.of(dropout_rate=0.2),
        dataclasses.replace(_SEQUENCES_TRAINING, monitor="auc"),
        pairs=None,
        random_data=False,
    ),
}


def fitting_training(
    training: TrainingConfig, objectives: Sequence[str]
) -> TrainingConfig:
    """Returns a training that watches an objective that is there.

    Where the preset's is not, it is the first one.
    """
    metric, slash, watched = training.monitor.partition("/")
    if slash and watched not in objectives:
        monitor = f"{metric}/{objectives[0]}"
        training = dataclasses.replace(training, monitor=monitor)
    return training


def preset_source(data: str) -> str:
    """Returns the source of a preset for a data set, by the name it has."""
    return data if (data, "demo") in QUICKSTART_PRESETS else "tables"


def find_preset(source: str, preset: str = "demo") -> Preset:
    """Returns a preset; that of all tables for logs that have none."""
    key = (preset_source(source) if source in LOGS else source, preset)
    if key not in QUICKSTART_PRESETS:
        raise DataError(
            f"source `{source}` has no preset `{preset}`; leave --preset out."
        )
    return QUICKSTART_PRESETS[key]
