"""A cross entropy over the list of a request's candidates."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.masking import MASKED_SCORE


@keras.saving.register_keras_serializable(package="jd_tf")
class ListwiseSoftmaxLoss(keras.losses.Loss):
    """Cross entropy of the shares of gain and the softmax of the scores.

    Per list, with gains g and scores s of its candidates:

        - sum_i g_i / sum_j g_j * log(exp(s_i) / sum_j exp(s_j))

    ListNet's top-one cross entropy, with shares of gain in place of a
    softmax of relevance; with one positive candidate it is the ordinary
    softmax loss. Only the order of scores within a list matters, so the
    scores are no probabilities. The loss is the mean over lists with a
    positive gain; others have no best order.

    Args:
        name, dtype: of the loss; inside it is float32.

    Call arguments:
        y_true: (B, N) or (B, N, T) gains >= 0, labels for instance; below 0
            for a candidate that is not in the list.
        y_pred: scores of that shape; anything outside the list. Axis 1 is
            the list; every objective has lists of its own.
        sample_weight: of that shape, or None. Multiplies a candidate's term.

    Example:
        >>> loss = ListwiseSoftmaxLoss()
        >>> gains = np.array([[1, 0, -1], [0, 0, 0]])
        >>> scores = np.array([[2, 2, 9], [1, 2, 3]])
        >>> print(f"{float(loss(gains, scores)):.4f}")  # log 2
        0.6931

    References:
        Learning to Rank: From Pairwise Approach to Listwise Approach. Cao,
        Qin, Liu, Tsai, Li, ICML 2007 (equation 5).
    """

    def __init__(self, name: str = "listwise_softmax_loss", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        listed = y_true >= 0
        gains = ops.where(listed, ops.cast(y_true, "float32"), 0.0)
        scores = ops.cast(y_pred, "float32")
        scores = ops.where(listed, scores, MASKED_SCORE)
        total = ops.sum(gains, axis=1, keepdims=True)
        shares = ops.divide_no_nan(gains, total)
        terms = -shares * ops.log_softmax(scores, axis=1)
        # Keras divides by all cells; these are divided by lists that count.
        cells = ops.cast(ops.size(terms), "float32")
        count = ops.sum(ops.cast(total > 0, "float32"))
        return terms * ops.divide_no_nan(cells, count)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}
