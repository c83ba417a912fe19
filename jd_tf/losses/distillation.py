"""The loss of a cheap ranker that learns from a better one."""

from typing import Any

import keras
from keras import ops

_MASKED = -1e9


@keras.saving.register_keras_serializable(package="jd_tf")
class ListDistillation(keras.losses.Loss):
    """Matches the order of a teacher within each list, and labels a little.

        loss = CE(softmax(sharpness log t), softmax(s))
               + label_weight CE(y / sum y, softmax(s))

    over the real items of a list, where s are the scores, t > 0 the teacher's
    scores and y >= 0 the value of what was done; lists without any have no
    second part. A larger sharpness looks at the teacher's first items alone.

    Args:
        sharpness: above 0.
        label_weight: at least 0.

    Call arguments:
        y_true: (B, N, 3): teacher's score, value of labels, and 1 where the
            item is real.
        y_pred: (B, N) scores.

    Example:
        >>> import numpy as np
        >>> loss = ListDistillation(sharpness=1.0, label_weight=0.0)
        >>> teacher = np.array([[[3.0, 0.0, 1.0], [1.0, 0.0, 1.0]]])
        >>> even = float(loss(teacher, np.zeros((1, 2))))
        >>> like = float(loss(teacher, np.log([[3.0, 1.0]])))
        >>> round(even, 3), round(like, 3)
        (0.693, 0.562)

    References:
        Geoffrey Hinton, Oriol Vinyals and Jeff Dean, "Distilling the Knowledge
        in a Neural Network", arXiv 1503.02531. Zhe Cao et al., "Learning to
        Rank: From Pairwise Approach to Listwise Approach", ICML 2007.
    """

    def __init__(
        self,
        sharpness: float = 2.0,
        label_weight: float = 0.1,
        name: str = "list_distillation",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        if not sharpness > 0 or not label_weight >= 0:
            raise ValueError(
                "`sharpness` must be > 0 and `label_weight` >= 0. Got: "
                f"{sharpness}, {label_weight}."
            )
        self.sharpness = sharpness
        self.label_weight = label_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, "float32")
        teacher, value, real = ops.unstack(y_true, 3, axis=-1)
        hidden = (1.0 - real) * _MASKED
        scores = ops.log_softmax(ops.cast(y_pred, "float32") + hidden, axis=-1)
        logits = self.sharpness * ops.log(ops.maximum(teacher, 1e-9))
        wanted = ops.softmax(logits + hidden, axis=-1) * real
        loss = -ops.sum(wanted * ops.where(real > 0, scores, 0.0), axis=-1)
        if self.label_weight:
            value = value * real
            share = value / ops.maximum(ops.sum(value, -1, keepdims=True), 1e-9)
            of_labels = ops.sum(share * ops.where(real > 0, scores, 0.0), -1)
            loss -= self.label_weight * of_labels
        return loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sharpness": self.sharpness,
            "label_weight": self.label_weight,
        }
