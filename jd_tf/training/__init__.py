"""Training: one `Trainer` over a step, and the parts that steps are made of.

Names are imported when they are first used: settings need no TensorFlow.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
