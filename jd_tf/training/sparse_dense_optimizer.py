"""Optimizer of embedding tables, by sparse gradients, and dense weights."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from jd_tf.training.config import TABLE_METHODS
from jd_tf.training.gradients import (
    Gradient,
    clip_by_global_norm,
    sum_duplicates,
    values_of,
    with_values,
)

_REFUSED = (
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)
# A sparse gradient of a variable with more rows is never made dense.
_MAX_DENSIFIED_ROWS = 16_384

_Rates = dict[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="jd_tf")
class SparseDenseOptimizer(keras.optimizers.Optimizer):
    """Adam for dense weights, Adagrad or lazy Adam for embedding tables.

    A step reads and writes the table rows its batch touched and no others:
    its cost does not depend on the size of the vocabulary. Adagrad is exact
    (a row that gets no gradient does not move); lazy Adam lets momentum and
    velocity of untouched rows rest, where Adam would let them decay.

        adagrad:    a += g^2;  w -= table_rate * g / (sqrt(a) + epsilon)
        (lazy) adam: m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);
                     w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
                          * m / (sqrt(v) + epsilon)

    In Keras' `compile`, pass `jit_compile=False`: XLA has no sparse kernels.

    Args:
        learning_rate: float or `keras.optimizers.schedules` object, for
            dense weights.
        table_learning_rate: float or schedule, for tables.
        table_method: `"adagrad"` or `"lazy_adam"`.
        table_pattern: str. Regular expression; variables whose path it finds
            are tables.
        beta_1: float. Decay of Adam's momentum.
        beta_2: float. Decay of Adam's velocity.
        epsilon: float. Added to every denominator.
        initial_accumulator: float. What Adagrad's sums of squares start at.
        weight_decay: float. Decoupled, of dense weights only: decaying a
            table would touch all of it.
        clipnorm, clipvalue, global_clipnorm: as in Keras; of a table they
            see the touched rows, duplicates summed.
        name: str.

    Raises:
        ValueError: an argument out of range; a constraint on a table; or,
            when a step is traced, a sparse gradient of a large variable that
            `table_pattern` does not find.

    Example:
    >>> table = keras.Variable([[1.0], [1.0]], name="table")
    >>> optimizer = SparseDenseOptimizer(table_learning_rate=0.1)
    >>> gradient = tf.IndexedSlices(tf.constant([[2.0]]), tf.constant([1]))
    >>> optimizer.apply([gradient], [table])
    >>> [round(float(row), 2) for row in table.numpy()[:, 0]]
    [1.0, 0.9]

    References:
        Duchi et al., "Adaptive Subgradient Methods for Online Learning and
        Stochastic Optimization" (JMLR 2011). Kingma and Ba, "Adam: A Method
        for Stochastic Optimization" (ICLR 2015).
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        table_learning_rate: Any = 0.05,
        table_method: str = "adagrad",
        table_pattern: str = r"(^|/)(table|embeddings)$",
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        initial_accumulator: float = 0.1,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "sparse_dense_optimizer",
    ):
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )
        if table_method not in TABLE_METHODS:
            raise ValueError(
                f"`table_method` must be one of {TABLE_METHODS}. "
                f"Got: {table_method!r}."
            )
        if initial_accumulator < 0 or epsilon <= 0:
            raise ValueError(
                "`initial_accumulator` must not be negative and `epsilon` "
                f"must be positive. Got: {initial_accumulator}, {epsilon}."
            )
        self.table_method = table_method
        self.table_pattern = table_pattern
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.initial_accumulator = initial_accumulator
        if isinstance(table_learning_rate, dict):
            table_learning_rate = keras.optimizers.schedules.deserialize(
                table_learning_rate
            )
        if isinstance(table_learning_rate, float):
            table_learning_rate = self.add_variable(
                (),
                keras.initializers.Constant(table_learning_rate),
                name="table_learning_rate",
            )
        self._table_learning_rate = table_learning_rate

    @property
    def table_learning_rate(self) -> Any:
        """The present learning rate of tables, a scalar tensor."""
        rate = self._table_learning_rate
        if isinstance(rate, keras.Variable):
            return rate
        return rate(self._iterations)

    @table_learning_rate.setter
    def table_learning_rate(self, rate: float) -> None:
        if not isinstance(self._table_learning_rate, keras.Variable):
            raise TypeError("`table_learning_rate` follows a schedule.")
        self._table_learning_rate.assign(rate)

    # Slots -----------------------------------------------------------------

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the slots: one a table under Adagrad, else two."""
        if self.built:
            return
        super().build(variables)
        self._is_table, self._slots = [], []
        for variable in variables:
            is_table = bool(re.search(self.table_pattern, variable.path))
            if is_table and variable.constraint is not None:
                raise ValueError(
                    f"Table `{variable.path}` has a constraint, which would "
                    "read and write all of it at every step. Remove it."
                )
            start = {"momentum": 0.0, "velocity": 0.0}
            if is_table and self.table_method == "adagrad":
                start = {"accumulator": self.initial_accumulator}
            slots = {
                slot: self.add_variable_from_reference(
                    variable, slot, keras.initializers.Constant(value)
                )
                for slot, value in start.items()
            }
            self._is_table.append(is_table)
            self._slots.append(slots)

    def slots(self) -> dict[str, dict[str, keras.Variable]]:
        """The state kept for each variable: path -> slot name -> variable."""
        return {
            variable.path: dict(slots)
            for variable, slots in zip(
                self._trainable_variables, self._slots, strict=True
            )
        }

    # Steps -----------------------------------------------------------------

    def _backend_apply_gradients(
        self,
        grads: Sequence[Gradient],
        trainable_variables: Sequence[keras.Variable],
    ) -> None:
        grads = self.prepare(grads, trainable_variables)
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(trainable_variables)
        # All that depends on the step alone is computed once, not for each
        # variable.
        step = tf.cast(self._iterations.value + 1, tf.float32)
        rates = {
            "rate": tf.convert_to_tensor(self.learning_rate),
            "table_rate": tf.convert_to_tensor(self.table_learning_rate),
            "beta_1_power": tf.pow(self.beta_1, step),
            "beta_2_power": tf.pow(self.beta_2, step),
        }
        self._backend_update_step(grads, trainable_variables, rates)

    def prepare(
        self,
        gradients: Sequence[Gradient | None],
        variables: Sequence[keras.Variable],
    ) -> list[Gradient | None]:
        """Brings gradients to the form in which they are applied.

        `apply_gradients` does so by itself; it is here for those who want to
        measure the gradients first, and is not done twice.

        Args:
            gradients: of the tape; None where there is none.
            variables: what they are gradients of.

        Returns:
            Sparse gradients of tables with duplicates summed, all others
            dense.
        """
        return [
            self._prepare(gradient, variable)
            if isinstance(gradient, tf.IndexedSlices)
            else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def _prepare(
        self, gradient: tf.IndexedSlices, variable: keras.Variable
    ) -> Gradient:
        if self._is_table[self._get_variable_index(variable)]:
            return sum_duplicates(gradient)
        if variable.shape[0] > _MAX_DENSIFIED_ROWS:
            raise ValueError(
                f"The gradient of `{variable.path}`, {tuple(variable.shape)}, "
                "is sparse, but `table_pattern` does not find it: "
                f"{self.table_pattern!r}. Extend the pattern, or every step "
                "will cost the whole table."
            )
        return tf.convert_to_tensor(gradient)

    def _clip_gradients(self, grads: Sequence[Gradient]) -> list[Gradient]:
        # Keras' versions would make sparse gradients dense.
        if self.global_clipnorm:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipnorm:
            return [clip_by_global_norm([g], self.clipnorm)[0] for g in grads]
        if self.clipvalue:
            limit = self.clipvalue
            return [
                with_values(g, tf.clip_by_value(values_of(g), -limit, limit))
                for g in grads
            ]
        return list(grads)

    def _use_weight_decay(self, variable: Any) -> bool:
        if self._is_table[self._get_variable_index(variable)]:
            return False
        return super()._use_weight_decay(variable)

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: _Rates
    ) -> None:
        """Applies one gradient.

        Args:
            gradient: dense, or sparse for a table, duplicates summed.
            variable: what it is the gradient of.
            learning_rate: both rates and Adam's powers, as
                `_backend_apply_gradients` computes them.
        """
        index = self._get_variable_index(variable)
        slots = {name: s.value for name, s in self._slots[index].items()}
        rates = {
            name: tf.cast(value, variable.dtype)
            for name, value in learning_rate.items()
        }
        if self._is_table[index]:
            rates["rate"] = rates["table_rate"]
        gradient = tf.cast(gradient, variable.dtype)
        sparse = isinstance(gradient, tf.IndexedSlices)
        if sparse and self._distribution_strategy.num_replicas_in_sync > 1:
            # The replicas' slices were concatenated.
            gradient = sum_duplicates(
                tf.IndexedSlices(
                    gradient.values, gradient.indices, gradient.dense_shape
                )
            )
        if "accumulator" in slots:
            self._adagrad(gradient, variable, slots["accumulator"], rates)
        elif sparse:
            self._lazy_adam(gradient, variable, slots, rates)
        else:
            self._adam(gradient, variable, slots, rates)

    def _adagrad(
        self,
        gradient: Gradient,
        variable: tf.Variable,
        accumulator: tf.Variable,
        rates: _Rates,
    ) -> None:
        arguments = {
            "var": variable.handle,
            "accum": accumulator.handle,
            "lr": rates["rate"],
            "epsilon": tf.cast(self.epsilon, variable.dtype),
            "grad": values_of(gradient),
            "use_locking": True,
        }
        if isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                indices=gradient.indices, **arguments
            )
        else:
            tf.raw_ops.ResourceApplyAdagradV2(**arguments)

    def _adam(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        slots: dict[str, tf.Variable],
        rates: _Rates,
    ) -> None:
        # One kernel instead of a dozen operations a variable.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots["momentum"].handle,
            v=slots["velocity"].handle,
            beta1_power=rates["beta_1_power"],
            beta2_power=rates["beta_2_power"],
            lr=rates["rate"],
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
            use_locking=True,
        )

    def _lazy_adam(
        self,
        gradient: tf.IndexedSlices,
        variable: tf.Variable,
        slots: dict[str, tf.Variable],
        rates: _Rates,
    ) -> None:
        rows, values = gradient.indices, gradient.values
        # Gathered from the resource: reading the variable would copy it.
        momentum = tf.gather(slots["momentum"], rows)
        velocity = tf.gather(slots["velocity"], rows)
        momentum += (1.0 - self.beta_1) * (values - momentum)
        velocity += (1.0 - self.beta_2) * (tf.square(values) - velocity)
        rate = rates["rate"] * tf.sqrt(1.0 - rates["beta_2_power"])
        rate /= 1.0 - rates["beta_1_power"]
        change = rate * momentum / (tf.sqrt(velocity) + self.epsilon)
        for slot, new in (("momentum", momentum), ("velocity", velocity)):
            slots[slot].scatter_update(tf.IndexedSlices(new, rows))
        variable.scatter_sub(tf.IndexedSlices(change, rows))

    # Configuration ---------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Every argument of the constructor."""
        config = super().get_config()
        for name in _REFUSED:
            config.pop(name)
        rate = self._table_learning_rate
        if isinstance(rate, keras.Variable):
            rate = float(rate.numpy())
        else:
            rate = keras.optimizers.schedules.serialize(rate)
        return {
            **config,
            "table_learning_rate": rate,
            "table_method": self.table_method,
            "table_pattern": self.table_pattern,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "initial_accumulator": self.initial_accumulator,
        }
