"""Training steps as one graph: several a call, input included."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.columns import SchemaError
from jd_tf.training.balancing.loss_balancer import LossBalancer
from jd_tf.training.fusion.fusion_records import FusionRecords
from jd_tf.training.fusion.fusion_step import FusionSteps
from jd_tf.training.gradients import gradient_norms, shared_norms
from jd_tf.training.losses import cell_weights, objective_losses
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

_Tensors = dict[str, tf.Tensor]
_FUSION = "fusion/"


@dataclasses.dataclass(frozen=True)
class StepRecords:
    """What K steps of one call looked like.

    Attributes:
        total: [K] what was minimised.
        losses: [K, T] mean loss of each objective.
        masses: [K, T] sample weight of each objective.
        weights: [K, T] what the balancer made of them.
        pulls: [K, T] norm of each weighted loss' gradient by what all
            objectives share; zeros where the model does not say what that is.
        norms: [K, V] gradient norm of each trainable variable.
        impressions: [K] candidates trained on.
        waits: [K] seconds the step waited for its batch.
        fusion: the fusion steps beside them, K rows of zeros where none was
            due; None where there are none at all.
    """

    total: np.ndarray
    losses: np.ndarray
    masses: np.ndarray
    weights: np.ndarray
    pulls: np.ndarray
    norms: np.ndarray
    impressions: np.ndarray
    waits: np.ndarray
    fusion: FusionRecords | None = None

    def __len__(self) -> int:
        return len(self.total)


class TrainingSteps:
    """Runs `main_step` in a loop inside the graph.

    Between two steps of a call there is no Python: batches are taken from
    the iterator by the graph, and the losses of all steps come back at once.

    What the model says are `fusion_variables` is not trained here: `fusion`
    does, after every so many main steps and on the batch of the last.

    Args:
        model: takes a batch, returns a dict with `logits` (B, N, T) and, for
            the objectives' pulls, an activation `shared` below which nothing
            belongs to one objective alone.
        optimizer: built here on what is trained: the model's variables, but
            for those of a fusion, and what the balancer learns by gradient.
        balancer: of the T objectives.
        fusion: takes the fusion steps; None for none.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: SparseDenseOptimizer,
        balancer: LossBalancer,
        fusion: FusionSteps | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.balancer = balancer
        self.fusion = fusion
        apart = {id(v) for v in getattr(model, "fusion_variables", ())}
        self.variables = [
            v for v in model.trainable_variables if id(v) not in apart
        ]
        # Its variances are no weights: nothing should draw them to 0.
        optimizer.exclude_from_weight_decay(balancer.trainable_variables)
        self.variables += balancer.trainable_variables
        optimizer.build(self.variables)
        self._clock = _clock()
        self._run = tf.function(
            self._steps, reduce_retracing=True, autograph=False
        )

    def run(self, iterator: Any, num_steps: int) -> StepRecords:
        """Takes up to `num_steps` steps.

        Args:
            iterator: of a `tf.data.Dataset` of training batches.
            num_steps: may be 0, which only traces the graph.

        Returns:
            A record of each step taken: fewer than asked where the data
            ended, or where the last one had a loss or gradient that is not
            finite.
        """
        count, records = self._run(iterator, tf.constant(num_steps))
        count = int(count)
        rows = {name: r.numpy()[:count] for name, r in records.items()}
        fusion = {
            name.removeprefix(_FUSION): rows.pop(name)
            for name in [name for name in rows if name.startswith(_FUSION)]
        }
        if fusion:
            rows["fusion"] = FusionRecords(**fusion)
        return StepRecords(**rows)

    def main_step(self, batch: Mapping[str, tf.Tensor]) -> _Tensors:
        """Trains on one batch; to be called inside a `tf.function`.

        Args:
            batch: with labels, label weights and bias columns.

        Returns:
            One row of `StepRecords`, without `waits`.

        Raises:
            SchemaError: the balancer needs the pulls of the objectives, and
                the model does not say what they share.
        """
        cells = cell_weights(batch)
        # More than one gradient is asked for; in a graph it costs no memory.
        with tf.GradientTape(persistent=True) as tape:
            outputs = self.model(batch, training=True)
            losses, masses = objective_losses(
                batch["labels"], outputs["logits"], cells
            )
            each = tf.unstack(losses)
            weights = self.balancer.weights(losses, masses)
            total = self.balancer.total(losses, masses, weights)
            if self.model.losses:
                total += tf.add_n(self.model.losses)
        gradients = self.optimizer.prepare(
            tape.gradient(total, self.variables), self.variables
        )
        pulls = self._pulls(tape, each, outputs.get("shared"))
        self.balancer.observe(losses, masses, pulls)
        # Keras would warn of weights that no objective reaches.
        self.optimizer.apply_gradients(
            (gradient, variable)
            for gradient, variable in zip(
                gradients, self.variables, strict=True
            )
            if gradient is not None
        )
        return {
            "total": total,
            "losses": losses,
            "masses": masses,
            "weights": weights,
            "pulls": weights * pulls,
            "norms": gradient_norms(gradients),
            "impressions": tf.reduce_sum(batch["num_candidates"]),
        }

    def _pulls(
        self,
        tape: tf.GradientTape,
        losses: Sequence[tf.Tensor],
        shared: tf.Tensor | None,
    ) -> tf.Tensor:
        """(T,) norms of the losses' gradients by what all of them share."""
        if shared is not None:
            return shared_norms(tape, losses, shared)
        if self.balancer.needs_norms:
            raise SchemaError(
                f"{type(self.balancer).__name__} needs to know how hard each "
                f"objective pulls, but `{self.model.name}` returns no `shared` "
                "activation while training. Balance in another way."
            )
        return tf.zeros(len(losses))

    def not_finite(self, records: StepRecords) -> str:
        """Names what is not finite in the last step, "" if nothing is."""
        if not len(records):
            return ""
        names = self.balancer.objective_names
        for name, loss in zip(names, records.losses[-1], strict=True):
            if not np.isfinite(loss):
                return f"the loss of objective `{name}` is {loss}"
        if not np.isfinite(records.total[-1]):
            return f"the total loss is {records.total[-1]}"
        for variable, norm in zip(
            self.variables, records.norms[-1], strict=True
        ):
            if not np.isfinite(norm):
                return f"the gradient of `{variable.path}` has norm {norm}"
        return "" if records.fusion is None else records.fusion.not_finite()

    def _both_steps(self, batch: Mapping[str, tf.Tensor]) -> _Tensors:
        """A main step, and the fusion step that is due after it."""
        if self.fusion is None:
            return self.main_step(batch)
        # Of the whole run: a checkpoint holds it.
        before = tf.identity(self.optimizer.iterations.value)
        row = self.main_step(batch)
        beside = self.fusion.step_if_due(before, batch)
        return {**row, **{f"{_FUSION}{n}": v for n, v in beside.items()}}

    def _steps(
        self, iterator: Any, num_steps: tf.Tensor
    ) -> tuple[tf.Tensor, _Tensors]:
        spec = iterator.element_spec
        num_objectives = len(self.balancer.objective_names)
        shapes = {
            "total": (),
            "losses": (num_objectives,),
            "masses": (num_objectives,),
            "weights": (num_objectives,),
            "pulls": (num_objectives,),
            "norms": (len(self.variables),),
            "impressions": (),
            "waits": (),
        }
        dtypes = {"impressions": tf.int32, "waits": tf.float64}
        if self.fusion is not None:
            for name, value in self.fusion.no_step().items():
                shapes[f"{_FUSION}{name}"] = value.shape
                dtypes[f"{_FUSION}{name}"] = value.dtype
        arrays = {
            name: tf.TensorArray(
                dtypes.get(name, tf.float32), num_steps, element_shape=shape
            )
            for name, shape in shapes.items()
        }

        def fetch(wanted: tf.Tensor) -> tuple[Any, tf.Tensor]:
            began = self._clock()
            with tf.control_dependencies([began]):
                optional = tf.cond(
                    wanted,
                    iterator.get_next_as_optional,
                    lambda: tf.experimental.Optional.empty(spec),
                )
                there = optional.has_value()
            with tf.control_dependencies([there]):
                return optional, self._clock() - began

        def body(
            step: tf.Tensor,
            finite: tf.Tensor,
            optional: Any,
            wait: tf.Tensor,
            arrays: Any,
        ) -> tuple:
            row = {**self._both_steps(optional.get_value()), "waits": wait}
            finite = tf.math.is_finite(row["total"]) & tf.reduce_all(
                tf.math.is_finite(row["norms"])
            )
            if self.fusion is not None:
                theirs = row[f"{_FUSION}total"] + row[f"{_FUSION}norm"]
                finite &= tf.math.is_finite(theirs)
            arrays = {n: arrays[n].write(step, row[n]) for n in arrays}
            step += 1
            # A batch is taken only to be trained on: the position in the
            # data is the number of steps. And not while computing, which
            # would hide the waiting that is measured.
            with tf.control_dependencies([finite]):
                optional, wait = fetch(step < num_steps)
            return step, finite, optional, wait, arrays

        step, *_, arrays = tf.while_loop(
            lambda step, finite, optional, *_: (
                finite & (step < num_steps) & optional.has_value()
            ),
            body,
            (tf.constant(0), tf.constant(True), *fetch(num_steps > 0), arrays),
        )
        return step, {name: array.stack() for name, array in arrays.items()}


def _clock() -> Callable[[], tf.Tensor]:
    """Seconds as a graph operation; 0 where TensorFlow forbids looking."""
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        # Under `enable_op_determinism`; waiting then reads as 0.
        return lambda: tf.constant(0.0, tf.float64)
    return tf.timestamp
