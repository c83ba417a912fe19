"""What a person may change about a training run."""

import dataclasses

from jd_tf.columns import SchemaError

TABLE_METHODS = ("adagrad", "lazy_adam")
BALANCERS = ("fixed", "running_magnitude")
# Fields that may differ when a run is resumed: they say when to stop, look
# or save, and never what a step does.
CHANGEABLE = (
    "epochs",
    "max_steps",
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
    """How long, how fast and how carefully to train.

    Attributes:
        epochs: passes over the training data.
        batch_size: requests a batch.
        learning_rate: of dense weights (Adam).
        table_learning_rate: of embedding tables.
        table_method: "adagrad" or "lazy_adam".
        warmup_steps: both rates rise linearly from 0 over these.
        decay_steps: after that both fall along a cosine over these; 0: never.
        final_rate: share of the rates the cosine ends at.
        max_gradient_norm: joint norm all gradients are clipped to; 0: never.
        weight_decay: decoupled, of dense weights; 0: none.
        balance: "fixed" or "running_magnitude".
        objective_weights: one float >= 0 an objective; () for 1 each.
        balance_decay: of the running magnitudes.
        steps_per_call: steps between two looks at clock, keyboard and
            progress bar.
        log_every: steps a history row and a TensorBoard point cover.
        evaluate_every: steps between evaluations; 0: after every epoch.
        checkpoint_every: steps between checkpoints; 0: by the clock only.
        checkpoint_minutes: minutes between checkpoints at most.
        keep_checkpoints: newest checkpoints kept, beside the best.
        monitor: validation metric that decides what is best; names that
            start with "loss" are better lower, all others higher.
        patience: evaluations without a better one before stopping; 0: never.
        max_steps: stop after these; 0: none.
        time_limit_seconds: stop after these, resumed time included; 0: none.
        seed: of initial weights, dropout and the order of requests.
        progress: whether to show a progress bar.
    """

    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-3
    table_learning_rate: float = 0.05
    table_method: str = "adagrad"
    warmup_steps: int = 0
    decay_steps: int = 0
    final_rate: float = 0.05
    max_gradient_norm: float = 10.0
    weight_decay: float = 0.0
    balance: str = "fixed"
    objective_weights: tuple[float, ...] = ()
    balance_decay: float = 0.99
    steps_per_call: int = 20
    log_every: int = 50
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    monitor: str = "loss"
    patience: int = 0
    max_steps: int = 0
    time_limit_seconds: float = 0.0
    seed: int = 17
    progress: bool = True

    def __post_init__(self) -> None:
        weights = tuple(self.objective_weights)
        object.__setattr__(self, "objective_weights", weights)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not 0 <= value < 1e18:
                self._refuse(field.name, "finite and not negative")
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
        if self.table_method not in TABLE_METHODS:
            self._refuse("table_method", f"one of {TABLE_METHODS}")
        if self.balance not in BALANCERS:
            self._refuse("balance", f"one of {BALANCERS}")
        if self.balance_decay >= 1:
            self._refuse("balance_decay", "below 1")

    def _refuse(self, name: str, wanted: str) -> None:
        raise SchemaError(
            f"`{name}` must be {wanted}. Got: {getattr(self, name)!r}."
        )
