"""Models as scorers of NumPy batches."""

import keras
import numpy as np
import tensorflow as tf

from jd_tf.evaluation.collect import Scorer
from jd_tf.evaluation.post_training import UNCALIBRATED, WEIGHTS
from jd_tf.evaluation.system_metrics import OUTPUTS
from jd_tf.schema import SERVING_ROLES, Schema


def model_scorer(model: keras.Model, post_training: bool = False) -> Scorer:
    """Returns a function from a batch of NumPy arrays to predictions.

    Args:
        model: a ranker with a `schema`.
        post_training: adds what `PostTraining` takes, of a model that
            calibrates or fuses.
    """
    schema: Schema = model.schema
    columns = schema.columns(*SERVING_ROLES)
    specs = {c.name: tf.TensorSpec(c.shape, c.dtype) for c in columns}

    @tf.function(input_signature=[specs], autograph=False)
    def answer(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return model(batch, training=False)

    def score(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(batch[name]) for name in specs}
        outputs = {n: a.numpy() for n, a in answer(tensors).items()}
        found = {name: outputs[name] for name in OUTPUTS if name in outputs}
        if post_training and model.calibration is not None:
            count = len(schema.outcome_names)
            found[UNCALIBRATED] = tf.sigmoid(
                outputs["logits"][..., :count]
            ).numpy()
        if post_training and WEIGHTS in outputs:
            found[WEIGHTS] = outputs[WEIGHTS][:, None]
        return found

    return score
