"""Training: one `Trainer` over a step, and the parts that steps are made of.

Names are imported when they are first used: settings need no TensorFlow.
"""

import importlib
from typing import Any

_MODULES = {
    "Checkpoints": "checkpoints",
    "FusionLoss": "fusion.fusion_loss",
    "GradNorm": "balancing.grad_norm",
    "LossBalancer": "balancing.loss_balancers",
    "NotFiniteError": "loop.trainer",
    "RunningMagnitude": "balancing.loss_balancers",
    "SparseDenseOptimizer": "sparse_dense_optimizer",
    "Trainer": "loop.trainer",
    "TrainingConfig": "config",
    "TrainingStep": "loop.training_step",
    "Uncertainty": "balancing.loss_balancers",
    "load_trained": "workdir",
    "train_folder": "folder_training",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `{__name__}` has no `{name}`.")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
