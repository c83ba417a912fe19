"""Names of variables do not depend on the process that makes them."""

import keras

from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.training.balancing.loss_balancers import (
    LossBalancer,
    RunningMagnitude,
)
from jd_tf.training.main_step import MainStep
from jd_tf.training.named_variables import model_variables
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from tests.requests import small_schema


def test_two_models_of_one_configuration_have_the_same_names():
    one, other = JDRanker(small_schema()), JDRanker(small_schema())
    assert one.name != other.name
    names = [list(model_variables(model)) for model in (one, other)]
    assert names[0] == names[1]
    assert len(names[0]) == len(one.variables)


def test_everything_a_step_changes_is_named():
    model = JDRanker(small_schema())
    optimizer = SparseDenseOptimizer()
    balancer = RunningMagnitude(model.schema.objective_names)
    named = MainStep(model, optimizer, balancer).named_variables()
    found = {id(variable) for variable in named.values()}
    for variable in [*model.variables, *optimizer.variables]:
        # No step changes a rate: it is the config's.
        rate = variable.path.endswith("learning_rate")
        assert (id(variable.value) in found) != rate, variable.path
    assert found >= {id(v) for v in balancer.variables.values()}
    table = "item_encoder/item_id/table"
    assert f"optimizer/{table}/momentum" in named
    assert "optimizer/experts/user_half/kernel/momentum" in named
    assert "optimizer/iteration" in named


def test_paths_that_meet_are_told_apart():
    class _Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = keras.layers.Dense(1, name="same")
            self.two = keras.layers.Dense(1, name="same")
            for layer in (self.one, self.two):
                layer.build((None, 2))

    named = model_variables(_Twice())
    assert list(named) == ["same/kernel", "same/bias", "same/kernel#2",
                           "same/bias#2"]  # fmt: skip
    assert LossBalancer(("click",)).variables == {}
