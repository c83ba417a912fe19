"""The contract between models and everything that uses them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from jd_tf.data.item_pairs.training_parts import PART
from jd_tf.models.blocks.score_head import ScoreHead, request_values
from jd_tf.models.compiled_metrics import CompiledMetrics
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.schema_model import SchemaModel
from jd_tf.schema import SERVING_ROLES, Schema, SchemaError

Tensors = Mapping[str, Any]
STATE_PREFIX = "user_state_"
APPEND_PREFIX = "append_state_"


class RankingModel(CompiledMetrics, SchemaModel):
    """Ranks the candidates of a request by several objectives at once.

    A model is `encode_user` followed by `rank`. The user state depends on the
    histories alone, so that it serves every page of the user until the next
    event; the time, context columns, session features and the values of the
    scenario enter in `rank`, once a request. Training, evaluation, export,
    client and pipeline know only what stands here.

    A subclass makes its layers in `make_layers`, builds them in
    `build_layers`, and implements `encode_histories`, `encode_request` and
    `candidate_logits`; calibration, fusion, the split of the variables and
    serialization are done here.

    Args:
        schema: the columns of a request, or their JSON dict.
        config: a `config_class`, its nested dict, or None for the defaults.

    Call arguments:
        inputs: dict of the schema's history, context and candidate columns,
            and of its bias columns while training. Other keys are ignored.
        training: bool. Turns dropout and the bias tower on, and calibration
            off.

    Returns:
        dict of `logits` (B, N, T) to train on, `probabilities` (B, N, T - A)
        of outcomes, calibrated if the config asks for it, `amounts` (B, N, A)
        of objectives that are amounts, if any (their logits are logarithms in
        units of `amount_scales`), all on the entire space of impressions, and
        `score` (B, N): the expected business value, or the fused objectives,
        with `fusion_weights` (B, T) beside them; while training always the
        expected value. Entries beyond `num_candidates` are meaningless.

    Example:
        See `jd_tf.models.PooledMMoE`, the shortest model.

    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("pooled_mmoe").model_class, RankingModel)
    True
    """

    config_class: ClassVar[type] = RankerConfig
    # The `TreeEnsemble` of a model that has boosted trees beside its network.
    trees: Any = None
    # Whether `append_events` works: the model is causal.
    can_append: ClassVar[bool] = False

    def __init__(
        self,
        schema: Schema | Mapping[str, Any],
        config: Any = None,
        **kwargs: Any,
    ):
        super().__init__(schema, config, **kwargs)
        schema = self.schema
        self.make_layers()
        # Last, so that the network before it starts from the same random
        # weights with a fusion and without.
        fusion = dataclasses.asdict(self.config.fusion)
        del fusion["session_seconds"], fusion["use_representation"]
        self.head = ScoreHead(
            schema.given_indices,
            schema.objective_values,
            self.config.calibrate,
            fusion_weights=fusion.pop("weights"),
            num_amounts=len(schema.amount_names),
            name="score_head",
            **fusion,
        )
        for layer in self._flatten_layers():
            amounts = getattr(layer, "num_amounts", self.head.num_amounts)
            if amounts != self.head.num_amounts:
                raise SchemaError(
                    f"model `{self.name}` takes amounts for outcomes: "
                    f"{', '.join(schema.amount_names)}. Give its "
                    "`EntireSpaceLogits` `num_amounts`."
                )
        # The schema tells every shape, so all weights exist from here on.
        self.build()

    # What a model implements ------------------------------------------------

    def make_layers(self) -> None:
        """Makes the layers of the main network."""
        raise NotImplementedError

    def build_layers(self) -> None:
        """Builds the layers of the main network from the schema's shapes."""
        raise NotImplementedError

    @property
    def reusable(self) -> bool:
        """Returns whether a user state is exact at a later moment, too.

        Histories tell times, but not the time it is: so it is. A model that
        says no reads `request_time` among the histories that it encodes, and
        clients rank with its state at that moment only, or within their
        `state_tolerance`.
        """
        return True

    @property
    def session_dim(self) -> int:
        """Width of `session_features`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no session features for a fusion."
        )

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        """Computes the user state, keys without their prefix.

        Args:
            histories: the schema's history columns.
            training: whether dropout is active.
        """
        raise NotImplementedError

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        """Encodes what is known of a request beside its histories.

        Args:
            user_state: of `encode_histories`.
            request: the schema's context columns, `request_time` among them.

        Returns:
            Anything: it is passed to `candidate_logits` and
            `session_features` as their `context`.
        """
        raise NotImplementedError

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """Computes logits of candidates.

        Args:
            user_state: of `encode_histories`.
            context: of `encode_request`.
            candidates: the schema's candidate columns, and its bias columns
                while training.
            training: whether dropout and the bias tower are active.

        Returns:
            Logits (B, N, T) float32 on the entire space, not calibrated; and
            an activation below which nothing belongs to one objective alone,
            by whose gradients objectives are balanced, or None.
        """
        raise NotImplementedError

    def session_features(self, user_state: Tensors, context: Any) -> Any:
        """Returns what the fusion reads of a session, (B, `session_dim`).

        Args:
            user_state: of `encode_histories`.
            context: of `encode_request`.
        """
        raise NotImplementedError

    def tree_numbers(self, inputs: Tensors) -> Any:
        """Returns what the boosted trees of a model read, (B, N, K).

        Args:
            inputs: as for `call`; with `pair_part`, of a training request.
        """
        raise NotImplementedError(f"{type(self).__name__} has no trees.")

    def explain(self, inputs: Tensors) -> dict[str, Any]:
        """Returns what explains the scores.

        Args:
            inputs: as for `call`.

        Returns:
            Tensors by name, at least one, dimension 0 is B. Here
            `probabilities` and `amounts`, as of `call`, and
            `fusion_weights` (B, T) of a fusion.
        """
        outputs = self(inputs, training=False)
        names = ("probabilities", "amounts", "fusion_weights")
        return {name: outputs[name] for name in names if name in outputs}

    # The two halves ---------------------------------------------------------

    def encode_user(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        """Computes all that candidates need of a user's histories.

        Args:
            histories: the schema's history columns.
            training: whether dropout is active.

        Returns:
            Tensors named `user_state_*`, dimension 0 is B.

        Raises:
            ValueError: while training, a model with pairs gets a batch that
                does not name its part of the training data.
        """
        if training and self.pairs is not None and PART not in histories:
            raise ValueError(
                f"a training batch needs `{PART}`, or its requests see their "
                "own events in the pairs: map batches by `TrainingParts.mark`."
            )
        state = self.encode_histories(histories, training)
        return {f"{STATE_PREFIX}{n}": tensor for n, tensor in state.items()}

    def append_events(
        self, append_state: Tensors, events: Tensors
    ) -> dict[str, Any]:
        """Computes the user state after new events, without the older ones.

        Until a history is longer than the model reads, the state is that of
        `encode_user` with all events.

        Args:
            append_state: `append_state_*` of the call before; {} at first.
            events: the schema's history columns, of new events alone; all
                are newer than those before.

        Returns:
            Tensors named `user_state_*` and `append_state_*`, dimension 0 is
            B.
        """
        raise NotImplementedError(
            f"{type(self).__name__} appends no events: it reads all anew."
        )

    def rank(
        self,
        user_state: Tensors,
        request: Tensors,
        candidates: Tensors,
        training: bool = False,
    ) -> dict[str, Any]:
        """Scores candidates for users already encoded.

        `user_state` is of `encode_user`, `request` the schema's context
        columns; the rest is that of `candidate_logits`, the result of `call`.
        """
        outputs, _ = self._rank(user_state, request, candidates, training)
        return outputs

    def call(self, inputs: Tensors, training: bool = False) -> dict[str, Any]:
        user_state = self.encode_user(inputs, training=training)
        return self.rank(user_state, inputs, inputs, training=training)

    def training_outputs(self, inputs: Tensors) -> dict[str, Any]:
        """Returns `call` of training, and `shared` of `candidate_logits`.

        Args:
            inputs: as for `call`.
        """
        state = self.encode_user(inputs, training=True)
        outputs, shared = self._rank(state, inputs, inputs, training=True)
        return outputs if shared is None else {**outputs, "shared": shared}

    def _rank(
        self,
        user_state: Tensors,
        request: Tensors,
        candidates: Tensors,
        training: bool,
    ) -> tuple[dict[str, Any], Any]:
        state = {
            name.removeprefix(STATE_PREFIX): tensor
            for name, tensor in user_state.items()
        }
        context = self.encode_request(state, request)
        logits, shared = self.candidate_logits(
            state, context, candidates, training=training
        )
        session, values = None, None
        # In the graph of a training step a fusion would change how TensorFlow
        # rounds the main network.
        if self.fusion is not None and not training:
            session = self.session_features(state, context)
            session = ops.stop_gradient(session)
        elif self.fusion is None and self.schema.scenario_values:
            values = request_values(self.schema, request)
        scored = self.head(logits, session, values, training=training)
        return {"logits": logits, **scored}, shared

    # Main network and fusion ------------------------------------------------

    @property
    def fusion(self) -> Any:
        """The layer that fuses objectives; None where values do."""
        return self.head.fusion

    @property
    def calibration(self) -> Any:
        """The layer that calibrates logits; None without."""
        return self.head.calibration

    @property
    def amount_scales(self) -> Any:
        """Units (A,) of the amounts, as the loss takes them; () of none."""
        return self.head.amount_scales

    @property
    def fusion_variables(self) -> list:
        """Variables that fusion steps train."""
        return [] if self.fusion is None else list(self.fusion.variables)

    @property
    def main_variables(self) -> list:
        """All other variables, curves of the calibration included."""
        fusion = {id(variable) for variable in self.fusion_variables}
        return [v for v in self.variables if id(v) not in fusion]

    @property
    def bias_variables(self) -> list:
        """The main variables that serving does not read: the bias tower's."""
        tower = getattr(self, "bias_tower", None)
        return [] if tower is None else list(tower.variables)

    def fusion_inputs(self, batch: Tensors) -> tuple[Any, Any]:
        """Returns what the fusion reads of a batch, as it is when serving.

        Args:
            batch: serving columns; other keys are ignored.

        Returns:
            Calibrated logits (B, N, T) and session features (B, F), both out
            of reach of any gradient.
        """
        state = self.encode_histories(batch, training=False)
        context = self.encode_request(state, batch)
        logits, _ = self.candidate_logits(state, context, batch)
        session = self.session_features(state, context)
        calibrated = self.head.calibrated(logits)
        return ops.stop_gradient(calibrated), ops.stop_gradient(session)

    # Keras ------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.build_layers()
        logits = (None, None, len(self.schema.objectives))
        if self.fusion is None:
            self.head.build(logits)
        else:
            self.head.build(logits, (None, self.session_dim))
        self.built = True

    def compute_output_spec(
        self, inputs: Tensors, training: bool = False, **_: Any
    ) -> dict[str, keras.KerasTensor]:
        """Returns the outputs' shapes without running the model."""
        logits = (*inputs["item_id"].shape, len(self.schema.objectives))
        shapes = {"logits": logits, **self.head.compute_output_shape(logits)}
        if training:
            shapes.pop("fusion_weights", None)
        return {
            name: keras.KerasTensor(shape, "float32", name=name)
            for name, shape in shapes.items()
        }

    def export(self, filepath: Any, **options: Any) -> Any:
        """Exports as Keras does, by default with the schema's columns.

        `jd_tf.export` makes what a server wants: more signatures, verified.

        Args:
            filepath: folder to write.
            **options: of `keras.Model.export`.
        """
        columns = self.schema.columns(*SERVING_ROLES)
        inputs = {c.name: keras.InputSpec(c.dtype, c.shape) for c in columns}
        options = {"input_signature": [inputs], **options}
        return super().export(filepath, **options)
