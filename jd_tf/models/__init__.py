"""Models: the contract, the registry, and the rankers by group.

Names load when they are first used.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.lazy import lazy_names

_MODULES = {
    "JDRanker": "ranking.jd_ranker",
    "JDRankerConfig": "ranking.jd_ranker_config",
    "PooledMMoE": "ranking.pooled_mmoe",
    "PooledMMoEConfig": "ranking.pooled_mmoe",
    "RankerConfig": "ranker_config",
    "RankingModel": "base",
    "build_model": "registry",
    "get_model": "registry",
    "load_model_module": "registry",
    "model_names": "registry",
    "register_model": "registry",
    "replace_fields": "config_fields",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
