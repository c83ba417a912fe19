"""Models: the contract, the registry, and the rankers by group.

Names load when they are first used.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.lazy import lazy_names

_MODULES = {
    "DCNv2": "interaction.dcn_v2",
    "DCNv2Config": "interaction.dcn_v2",
    "DeepFM": "interaction.deep_fm",
    "ESMM": "multitask.esmm",
    "FinalMLP": "interaction.final_mlp",
    "FinalMLPConfig": "interaction.final_mlp",
    "JDRanker": "ranking.jd_ranker",
    "JDRankerConfig": "ranking.jd_ranker_config",
    "MaskNet": "interaction.mask_net",
    "MaskNetConfig": "interaction.mask_net",
    "PEPNet": "scenario.pepnet",
    "PEPNetConfig": "scenario.pepnet",
    "PLE": "multitask.ple",
    "PLEConfig": "multitask.ple",
    "PooledMMoE": "ranking.pooled_mmoe",
    "PooledMMoEConfig": "ranking.pooled_mmoe",
    "RankerConfig": "ranker_config",
    "RankingModel": "base",
    "STAR": "scenario.star",
    "STARConfig": "scenario.star",
    "SharedBottom": "multitask.shared_bottom",
    "FieldsRankerConfig": "network_config",
    "TokensRankerConfig": "network_config",
    "TowersRankerConfig": "network_config",
    "build_model": "registry",
    "get_model": "registry",
    "load_model_module": "registry",
    "model_names": "registry",
    "register_model": "registry",
    "replace_fields": "config_fields",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
