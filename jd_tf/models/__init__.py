"""Models: the contract, the registry, and the rankers by group.

Names load when they are first used.
"""

import importlib
from typing import Any

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
