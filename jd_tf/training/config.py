"""Configuration of a training run."""

import dataclasses
import math

from jd_tf.columns import SchemaError

TABLE_METHODS = ("lazy_adam", "adagrad")
BALANCERS = ("fixed", "running_magnitude", "uncertainty", "grad_norm")
FUSION_LOSSES = ("listwise", "pairwise")
FUSION_GAINS = ("value", "reward")
FUSION_REQUEST_WEIGHTS = ("equal", "gain")
CALIBRATIONS = ("isotonic", "platt", "temperature")
DTYPE_POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
CHOICES = {
    "dtype_policy": DTYPE_POLICIES,
    "table_method": TABLE_METHODS,
    "balance": BALANCERS,
    "fusion_loss": FUSION_LOSSES,
    "fusion_gain": FUSION_GAINS,
    "fusion_request_weights": FUSION_REQUEST_WEIGHTS,
    "calibration_method": CALIBRATIONS,
}
# Fields that may differ when a run is resumed: they set when to stop, log or
# save, and never what a step does.
CHANGEABLE = (
    "epochs",
    "max_steps",
    "fusion_steps",
    "time_limit_seconds",
    "patience",
    "steps_per_call",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "progress",
)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run: duration, rates, losses, checkpoints.

    Attributes:
        epochs: passes over the training data.
        batch_size: requests a batch.
        bucket_batches: batches within which requests of like size come
            together, which saves padding; 0: none.
        learning_rate: of dense weights (Adam).
        table_learning_rate: of embedding tables.
        table_method: "lazy_adam" or "adagrad".
        warmup_steps: both rates rise linearly from 0 over these.
        decay_steps: after that both fall along a cosine over these; 0: never;
            -1: to the last step of `epochs` or `max_steps`, which the run's
            config.json then tells.
        final_rate: share of the rates the cosine ends at.
        max_gradient_norm: joint norm all gradients are clipped to; 0: never.
        weight_decay: decoupled, of dense weights; 0: none.
        ema_decay: of the exponential moving average of the weights that is
            evaluated and exported in place of the weights, below 1; early
            steps have a lower one; 0: none.
        balance: "fixed", "running_magnitude", "uncertainty" or "grad_norm".
        objective_weights: one float >= 0 an objective; () for 1 each.
        listwise_weight: of a softmax loss over the candidates of a request,
            added to each objective's loss; 0: none.
        balance_decay: of the running means that magnitudes and gradient
            norms are taken over.
        steps_per_call: steps between two checks of clock and signals.
        log_every: steps a history row and a TensorBoard point cover.
        evaluate_every: steps between evaluations; 0: after every epoch.
        checkpoint_every: steps between checkpoints; 0: by the clock only.
        checkpoint_minutes: minutes between checkpoints at most.
        keep_checkpoints: newest checkpoints kept, beside the best.
        monitor: validation metric that decides what is best: a mean over
            objectives ("normalized_entropy", "auc", "gauc"), one of them
            ("auc/click"), their sum of losses ("loss"), or the business value
            of the order ("value_ndcg@10"), which decides on the share of
            boosted trees, too. Losses and entropies are better lower, all
            others higher.
        patience: evaluations without a better one before stopping; 0: never.
        max_steps: stop after these; 0: none.
        time_limit_seconds: stop after these, resumed time included; 0: none.
        fusion_every: main steps to one step of a fusion that learns; 0: it
            learns only after the main training.
        fusion_steps: steps of the fusion after the main training, with the
            network at its best and calibrated; 0: a pass over the data where
            it learns only then, a tenth of one where logits are calibrated
            or weights averaged since, else none.
        fusion_learning_rate: of the fusion (Adam).
        fusion_loss: "listwise" or "pairwise".
        fusion_gain: what a candidate brought in: business "value" of its
            labels, or the "reward" column.
        fusion_request_weights: requests count "equal"ly, as in value-NDCG,
            or by their "gain", as in captured value.
        fusion_values: one business value an objective, for the fusion's loss
            alone; () for the schema's.
        calibration_method: "isotonic", "platt" or "temperature".
        tree_learning_rate: of the boosted trees of a model that has them.
        tree_impressions: training impressions that they are fitted on at
            most; 0: all.
        dtype_policy: of the model while it trains: "float32",
            "mixed_float16" or "mixed_bfloat16". Weights, losses and
            probabilities are of single precision in each, and so is the
            trained model.
        seed: of initial weights, dropout and the order of requests.
        progress: whether to show a progress bar.

    Example:
    >>> TrainingConfig(epochs=2, balance="grad_norm").batch_size
    64
    """

    epochs: int = 1
    batch_size: int = 64
    bucket_batches: int = 0
    learning_rate: float = 1e-3
    table_learning_rate: float = 0.003
    table_method: str = "lazy_adam"
    warmup_steps: int = 0
    decay_steps: int = 0
    final_rate: float = 0.05
    max_gradient_norm: float = 10.0
    weight_decay: float = 0.0
    ema_decay: float = 0.0
    balance: str = "fixed"
    objective_weights: tuple[float, ...] = ()
    listwise_weight: float = 0.0
    balance_decay: float = 0.99
    steps_per_call: int = 20
    log_every: int = 50
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    monitor: str = "normalized_entropy"
    patience: int = 0
    max_steps: int = 0
    time_limit_seconds: float = 0.0
    fusion_every: int = 4
    fusion_steps: int = 0
    fusion_learning_rate: float = 1e-3
    fusion_loss: str = "listwise"
    fusion_gain: str = "value"
    fusion_request_weights: str = "equal"
    fusion_values: tuple[float, ...] = ()
    calibration_method: str = "isotonic"
    tree_learning_rate: float = 0.1
    tree_impressions: int = 1_000_000
    dtype_policy: str = "float32"
    seed: int = 17
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("objective_weights", "fusion_values"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not all(map(math.isfinite, values)):
                self._refuse(name, "finite")
            if values and not any(values):
                self._refuse(name, "above 0 for one objective at least")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = -1 if field.name == "decay_steps" else 0
            if isinstance(value, (int, float)) and not least <= value < 1e18:
                self._refuse(field.name, f"finite and not below {least}")
        for name in (
            "epochs",
            "batch_size",
            "steps_per_call",
            "log_every",
            "checkpoint_minutes",
            "keep_checkpoints",
        ):
            if not getattr(self, name):
                self._refuse(name, "positive")
        if self.seed >= 2**32:
            self._refuse("seed", f"below {2**32}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                self._refuse(name, f"one of {choices}")
        for name in ("balance_decay", "ema_decay"):
            if getattr(self, name) >= 1:
                self._refuse(name, "below 1")

    def _refuse(self, name: str, wanted: str) -> None:
        raise SchemaError(
            f"`{name}` must be {wanted}. Got: {getattr(self, name)!r}."
        )
