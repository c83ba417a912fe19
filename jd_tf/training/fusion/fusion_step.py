"""Fusion steps: weights learn from the main network, which learns nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from jd_tf.columns import SchemaError
from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.fusion.fusion_records import FusionRecords
from jd_tf.training.fusion.isolation_check import (
    Isolation,
    IsolationError,
    watch_steps,
    with_gradient,
)
from jd_tf.training.gradients import gradient_norms
from jd_tf.training.named_variables import (
    model_variables,
    optimizer_variables,
    training_variables,
)
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

if TYPE_CHECKING:
    from jd_tf.training.main_step import TrainingSteps

_Tensors = dict[str, tf.Tensor]


class FusionSteps:
    """Takes `fusion_step`s beside the main steps of the same model.

    The model says what is whose, and offers what the fusion reads:

        main_variables, fusion_variables: together all its variables.
        fusion: a layer as `jd_tf.layers.PersonalizedFusion`.
        fusion_inputs(batch): logits (B, N, T) and session features (B, F) as
            they are when serving, both behind a stop_gradient.

    Args:
        model: built.
        optimizer: of the fusion alone; built on its variables here.
        loss: compares scores and gains.
        every: `step_if_due` takes a fusion step after that many main ones; 0
            takes none, as where the fusion only trains by `run`.

    Raises:
        SchemaError: the model has no fusion variable to train, or variables
            that belong to neither side or to both.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: SparseDenseOptimizer,
        loss: FusionLoss,
        every: int = 4,
    ):
        if every < 0:
            raise SchemaError(f"`every` must not be negative. Got: {every}.")
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.every = every
        _check_sides(model)
        self.variables = [v for v in model.fusion_variables if v.trainable]
        if not self.variables:
            raise SchemaError(
                "the model's fusion has nothing to train: fixed weights need "
                "no fusion steps."
            )
        optimizer.build(self.variables)
        self._run = tf.function(
            self._steps, reduce_retracing=True, autograph=False
        )

    # Steps -----------------------------------------------------------------

    def fusion_step(self, batch: Mapping[str, tf.Tensor]) -> _Tensors:
        """Trains the fusion on one batch; inside a `tf.function` or not.

        Args:
            batch: with labels and label weights, and the reward if the loss
                reads it.

        Returns:
            One row of `FusionRecords`.
        """
        # Outside the tape: a second wall behind the model's stop_gradient,
        # and no dropout, statistic or random state of training is involved.
        logits, features = self.model.fusion_inputs(batch)
        values = [variable.value for variable in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            score, weights = self.model.fusion(logits, features)
            found = self.loss(batch, self.model.fusion.list_logits(score))
        gradients = tape.gradient(found.total, values)
        # Keras would warn of weights that no candidate's score depends on.
        self.optimizer.apply_gradients(
            (gradient, variable)
            for gradient, variable in zip(
                gradients, self.variables, strict=True
            )
            if gradient is not None
        )
        return {
            "total": found.total,
            "used": found.num_used,
            "skipped": found.num_skipped,
            "weights": tf.reduce_mean(tf.cast(weights, tf.float32), axis=0),
            "norm": tf.norm(gradient_norms(gradients)),
        }

    def step_if_due(
        self, step: tf.Tensor, batch: Mapping[str, tf.Tensor]
    ) -> _Tensors:
        """Takes a fusion step after every `every` main ones, else none.

        Args:
            step: scalar integer, main steps taken before this batch's; of
                the whole run, so that a resumed one alternates as it would
                have.
            batch: of the main step just taken.

        Returns:
            One row of `FusionRecords`; zeros where none was due.
        """
        if not self.every:
            return self.no_step()
        due = tf.equal((step + 1) % self.every, 0)
        return tf.cond(due, lambda: self.fusion_step(batch), self.no_step)

    def no_step(self) -> _Tensors:
        """The row of a step that was not taken."""
        return {
            "total": tf.constant(0.0),
            "used": tf.constant(0),
            "skipped": tf.constant(0),
            "weights": tf.zeros([self.model.fusion.num_objectives]),
            "norm": tf.constant(0.0),
        }

    def run(self, iterator: Any, num_steps: int) -> FusionRecords:
        """Takes up to `num_steps` fusion steps, no main ones.

        Args:
            iterator: of a `tf.data.Dataset` of training batches.
            num_steps: may be 0, which only traces the graph.

        Returns:
            A record of each step taken: fewer than asked where the data
            ended, or where the last one was not finite.
        """
        count, rows = self._run(iterator, tf.constant(num_steps))
        count = int(count)
        return FusionRecords(
            **{name: row.numpy()[:count] for name, row in rows.items()}
        )

    def _steps(
        self, iterator: Any, num_steps: tf.Tensor
    ) -> tuple[tf.Tensor, _Tensors]:
        arrays = {
            name: tf.TensorArray(row.dtype, num_steps, element_shape=row.shape)
            for name, row in self.no_step().items()
        }
        empty = tf.experimental.Optional.empty(iterator.element_spec)

        def fetch(wanted: tf.Tensor) -> Any:
            return tf.cond(wanted, iterator.get_next_as_optional, lambda: empty)

        def body(
            step: tf.Tensor, finite: tf.Tensor, batch: Any, arrays: Any
        ) -> tuple:
            row = self.fusion_step(batch.get_value())
            finite = tf.math.is_finite(row["total"] + row["norm"])
            arrays = {n: arrays[n].write(step, row[n]) for n in arrays}
            step += 1
            return step, finite, fetch(finite & (step < num_steps)), arrays

        step, _, _, arrays = tf.while_loop(
            lambda step, finite, batch, _: (
                finite & (step < num_steps) & batch.has_value()
            ),
            body,
            (tf.constant(0), tf.constant(True), fetch(num_steps > 0), arrays),
        )
        return step, {name: array.stack() for name, array in arrays.items()}

    # What is whose ---------------------------------------------------------

    def named_variables(self) -> dict[str, tf.Variable]:
        """What a checkpoint must hold beside `training_variables`."""
        named = optimizer_variables(self.model, self.optimizer)
        return {f"fusion_optimizer/{n}": v for n, v in named.items()}

    def sides(
        self, main: "TrainingSteps"
    ) -> tuple[dict[str, tf.Variable], dict[str, tf.Variable]]:
        """All state of the main network and all of the fusion, by name.

        Args:
            main: steps of the same model.
        """
        ours = {id(v.value) for v in self.model.fusion_variables}
        every = training_variables(
            self.model, main.optimizer, main.balancer
        ).items()
        main_side = {n: v for n, v in every if id(v) not in ours}
        fusion_side = {n: v for n, v in every if id(v) in ours}
        return main_side, {**fusion_side, **self.named_variables()}

    def gradient_leaks(
        self, main: "TrainingSteps", batch: Mapping[str, tf.Tensor]
    ) -> list[str]:
        """Main variables that the fusion loss has a gradient by.

        Here the main network runs under the tape, so that nothing but its
        stop_gradient stands between the two.

        Args:
            main: steps of the same model.
            batch: as for `fusion_step`.
        """
        variables, _ = self.sides(main)
        with tf.GradientTape() as tape:
            tape.watch([v for v in variables.values() if v.dtype.is_floating])
            score, _ = self.model.fusion(*self.model.fusion_inputs(batch))
            total = self.loss(batch, self.model.fusion.list_logits(score)).total
        return with_gradient(tape, total, variables)

    def assert_isolated(
        self, main: "TrainingSteps", batch: Mapping[str, tf.Tensor]
    ) -> Isolation:
        """Proves on one batch that neither step touches the other's side.

        The fusion loss must have no gradient by any main variable; one step
        of either kind, taken here and undone, must leave every variable,
        optimizer slot, statistic and random state of the other side as it
        was, to the last bit. Runs eagerly, before any graph is traced; needs
        room for a copy of all variables meanwhile.

        Args:
            main: steps of the same model.
            batch: a training batch of tensors.

        Returns:
            What each step changed on its own side.

        Raises:
            IsolationError: naming what is shared, leaks or was changed.
        """
        if main.optimizer is self.optimizer:
            raise IsolationError(
                "the main network and the fusion share their optimizer."
            )
        leaks = self.gradient_leaks(main, batch)
        if leaks:
            raise IsolationError(
                f"the fusion loss has a gradient by {len(leaks)} variable(s) "
                f"of the main network, among them `{leaks[0]}`: a "
                "stop_gradient is missing."
            )
        return watch_steps(
            lambda: main.main_step(batch),
            lambda: self.fusion_step(batch),
            *self.sides(main),
        )


def _check_sides(model: keras.Model) -> None:
    """Raises a SchemaError unless two sides make up the whole model."""
    main = {id(v.value) for v in model.main_variables}
    fusion = {id(v.value) for v in model.fusion_variables}
    for name, variable in model_variables(model).items():
        owners = (id(variable) in main) + (id(variable) in fusion)
        if owners != 1:
            raise SchemaError(
                f"variable `{name}` must be in one of `main_variables` and "
                f"`fusion_variables`. It is in {('none', '', 'both')[owners]}."
            )
