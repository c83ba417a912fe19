"""`compile`, `fit`, `evaluate` and `predict` on request batches."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf import losses
from jd_tf.losses import (
    GAUC,
    NDCG,
    ListwiseSoftmaxLoss,
    MultiObjectiveLoss,
    labels_and_weights,
)
from jd_tf.metrics import ranking_metrics

VALUES = (1.0, 5.0)


class Scorer(keras.Model):
    """Answers a dict, to all or some of which there are labels."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, inputs, training=False):
        logits = self.dense(inputs["features"])
        chances = keras.ops.sigmoid(logits)
        score = keras.ops.matmul(chances, np.array(VALUES, "float32"))
        outputs = {"logits": logits, "probabilities": chances, "score": score}
        return {**outputs, "shared": logits} if training else outputs

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        y_pred = {name: y_pred[name] for name in y}
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y_pred = {name: y_pred[name] for name in y}
        return super().compute_metrics(x, y, y_pred, sample_weight)


def _requests(num_requests=64):
    random = np.random.default_rng(0)
    features = random.normal(size=(num_requests, 5, 3))
    chance = 1 / (1 + np.exp(-features[..., :2]))
    return {
        "features": features.astype("float32"),
        "num_candidates": random.integers(1, 6, num_requests),
        "labels": (random.random(chance.shape) < chance).astype("float32"),
        "label_weights": random.choice([0.0, 1.0], chance.shape).astype("f"),
    }


def _data(values=()):
    batches = tf.data.Dataset.from_tensor_slices(_requests()).batch(16)
    return batches.map(lambda batch: labels_and_weights(batch, values))


def _fitted(loss, values=(), **metrics):
    keras.utils.set_random_seed(3)
    model = Scorer()
    model.compile(keras.optimizers.Adam(0.05), loss=loss, **metrics)
    history = model.fit(
        _data(values),
        validation_data=_data(values),
        epochs=4,
        shuffle=False,
        verbose=0,
    )
    return model, history.history


def test_multi_objective_loss_and_metrics_learn_and_agree_with_numpy():
    model, history = _fitted(
        {"logits": MultiObjectiveLoss((1.0, 2.0))},
        metrics={"logits": [GAUC(0, name="gauc_0")]},
        weighted_metrics={"logits": [keras.metrics.AUC(from_logits=True)]},
    )
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) >= {"val_loss", "val_gauc_0"}
    found = model.evaluate(_data(), verbose=0, return_dict=True)
    assert found["gauc_0"] == pytest.approx(history["val_gauc_0"][-1])
    requests = _requests()
    predicted = model.predict(_data(), verbose=0)
    assert set(predicted) == {"logits", "probabilities", "score"}
    inside = (np.arange(5)[None, :] < requests["num_candidates"][:, None]) & (
        requests["label_weights"][..., 0] > 0
    )
    expected = ranking_metrics.group_auc(
        predicted["logits"][..., 0][inside],
        requests["labels"][..., 0][inside],
        np.nonzero(inside)[0],
        64,
    ).mean()
    assert found["gauc_0"] == pytest.approx(expected, rel=1e-6)


def test_losses_and_metrics_of_two_outputs():
    _, history = _fitted(
        {"logits": MultiObjectiveLoss(), "score": ListwiseSoftmaxLoss()},
        VALUES,
        weighted_metrics={"score": [NDCG(3)], "logits": [GAUC()]},
    )
    assert history["loss"][-1] < history["loss"][0]
    names = ("logits_loss", "score_loss", "score_ndcg_3", "logits_gauc")
    for name in names:
        assert np.isfinite(history[f"val_{name}"]).all()
    assert history["val_score_ndcg_3"][-1] > 0.8


@pytest.mark.parametrize("name", losses.__all__)
def test_example_of_the_docstring_runs(name):
    (found,) = doctest.DocTestFinder(recurse=False).find(
        getattr(losses, name), name, globs={**vars(losses), "np": np, "tf": tf}
    )
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0
