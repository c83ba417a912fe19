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
)

# Paths of the variables that are tables.
TABLE_PATTERN = r"(^|/)(table|embeddings)$"
_BETA_1, _BETA_2 = 0.9, 0.999
_EPSILON = 1e-7
# A mean loss gives a row gradients of 1e-5 and less.
_ADAGRAD_EPSILON = 1e-12
# Settings of Keras' optimizers that this one does not have.
_REFUSED = (
    "clipnorm",
    "clipvalue",
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
    (a row that gets no gradient does not move) and starts at a sum of zero:
    the first step of a row is as long as the rate, whatever the scale of the
    loss. Lazy Adam lets momentum and velocity of untouched rows rest, where
    Adam would let them decay.

        adagrad:    a += g^2;  w -= table_rate * g / (sqrt(a) + epsilon)
        (lazy) adam: m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);
                     w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
                          * m / (sqrt(v) + epsilon)

    In Keras' `compile`, pass `jit_compile=False`: XLA has no sparse kernels.

    Args:
        learning_rate: float or `keras.optimizers.schedules` object, for
            dense weights.
        table_learning_rate: float or schedule, for tables.
        table_method: `"lazy_adam"` or `"adagrad"`.
        table_pattern: str. Regular expression; variables whose path it finds
            are tables.
        weight_decay: float. Decoupled, of dense weights only: decaying a
            table would touch all of it.
        global_clipnorm: as in Keras; of a table it sees the touched rows,
            duplicates summed.
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
        table_learning_rate: Any = 0.003,
        table_method: str = "lazy_adam",
        table_pattern: str = TABLE_PATTERN,
        weight_decay: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "sparse_dense_optimizer",
    ):
        super().__init__(
            learning_rate,
            weight_decay,
            global_clipnorm=global_clipnorm,
            name=name,
        )
        if table_method not in TABLE_METHODS:
            raise ValueError(
                f"`table_method` must be one of {TABLE_METHODS}. "
                f"Got: {table_method!r}."
            )
        self.table_method = table_method
        self.table_pattern = table_pattern
        if isinstance(table_learning_rate, dict):
            deserialize = keras.optimizers.schedules.deserialize
            table_learning_rate = deserialize(table_learning_rate)
        if isinstance(table_learning_rate, float):
            table_learning_rate = self.add_variable(
                (),
                keras.initializers.Constant(table_learning_rate),
                name="table_learning_rate",
            )
        self._table_learning_rate = table_learning_rate

    @property
    def table_learning_rate(self) -> Any:
        """Present learning rate of tables, a scalar tensor."""
        rate = self._table_learning_rate
        fixed = isinstance(rate, keras.Variable)
        return rate if fixed else rate(self._iterations)

    @table_learning_rate.setter
    def table_learning_rate(self, rate: float) -> None:
        if not isinstance(self._table_learning_rate, keras.Variable):
            raise TypeError("`table_learning_rate` follows a schedule.")
        self._table_learning_rate.assign(rate)

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
            adagrad = is_table and self.table_method == "adagrad"
            names = ["accumulator"] if adagrad else ["momentum", "velocity"]
            slots = {
                slot: self.add_variable_from_reference(variable, slot)
                for slot in names
            }
            self._is_table.append(is_table)
            self._slots.append(slots)

    def slots(self) -> dict[str, dict[str, keras.Variable]]:
        """Returns the state by path of the variable and name of the slot."""
        variables = self._trainable_variables
        return {
            variable.path: slots
            for variable, slots in zip(variables, self._slots, strict=True)
        }

    def _backend_apply_gradients(
        self,
        grads: Sequence[Gradient],
        trainable_variables: Sequence[keras.Variable],
    ) -> None:
        grads = self.prepare(grads, trainable_variables)
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(trainable_variables)
        # Computed once, not for each variable.
        step = tf.cast(self._iterations.value + 1, tf.float32)
        rates = {
            "rate": tf.convert_to_tensor(self.learning_rate),
            "table_rate": tf.convert_to_tensor(self.table_learning_rate),
            "beta_1_power": tf.pow(_BETA_1, step),
            "beta_2_power": tf.pow(_BETA_2, step),
        }
        self._backend_update_step(grads, trainable_variables, rates)

    def prepare(
        self,
        gradients: Sequence[Gradient | None],
        variables: Sequence[keras.Variable],
    ) -> list[Gradient | None]:
        """Sums duplicates of tables' gradients and makes all others dense.

        `apply_gradients` does so by itself; it is here for those who want to
        measure the gradients first, and is not done twice.
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
        # Keras' version would make sparse gradients dense.
        if self.global_clipnorm:
            return clip_by_global_norm(grads, self.global_clipnorm)
        return list(grads)

    def _use_weight_decay(self, variable: Any) -> bool:
        if self._is_table[self._get_variable_index(variable)]:
            return False
        return super()._use_weight_decay(variable)

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: _Rates
    ) -> None:
        """Applies one gradient, duplicates summed; all rates are given."""
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
            values, indices = gradient.values, gradient.indices
            gradient = sum_duplicates(
                tf.IndexedSlices(values, indices, gradient.dense_shape)
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
            "epsilon": tf.cast(_ADAGRAD_EPSILON, variable.dtype),
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
            beta1=tf.cast(_BETA_1, variable.dtype),
            beta2=tf.cast(_BETA_2, variable.dtype),
            epsilon=tf.cast(_EPSILON, variable.dtype),
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
        momentum += (1.0 - _BETA_1) * (values - momentum)
        velocity += (1.0 - _BETA_2) * (tf.square(values) - velocity)
        rate = rates["rate"] * tf.sqrt(1.0 - rates["beta_2_power"])
        rate /= 1.0 - rates["beta_1_power"]
        change = rate * momentum / (tf.sqrt(velocity) + _EPSILON)
        for slot, new in (("momentum", momentum), ("velocity", velocity)):
            slots[slot].scatter_update(tf.IndexedSlices(new, rows))
        variable.scatter_sub(tf.IndexedSlices(change, rows))

    def get_config(self) -> dict[str, Any]:
        given = super().get_config()
        config = {n: v for n, v in given.items() if n not in _REFUSED}
        rate = self._table_learning_rate
        if isinstance(rate, keras.Variable):
            config["table_learning_rate"] = float(rate.numpy())
        else:
            serialize = keras.optimizers.schedules.serialize
            config["table_learning_rate"] = serialize(rate)
        return {
            **config,
            "table_method": self.table_method,
            "table_pattern": self.table_pattern,
        }
