"""Runs model servers: configuration files, promotion, shadow traffic.

Names are loaded when they are first used, most of them with TensorFlow.
"""

from jd_tf.lazy import lazy_names

_MODULES = {
    "make_deployment": "deployment",
    "promote": "promotion",
    "shadow": "shadow_report",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
