"""The part of every ranker's config: calibration and fusion."""

import dataclasses
from typing import Any, ClassVar

from jd_tf.columns import SchemaError
from jd_tf.models.config_fields import replace_fields

FUSION_FORMS = ("log_linear", "additive")
FUSIONS = ("", "fixed", "global", "personalized")


class ConfigGroup:
    """A base of frozen dataclasses that go through JSON unchanged.

    Lists become tuples; fields named in `CHOICES` are checked.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {}

    @classmethod
    def of(cls, **changes: Any) -> Any:
        """Returns the defaults with changes, by dotted or short names.

        Args:
            **changes: as of `jd_tf.models.config_fields.replace_fields`.

        Example:
        >>> RankerConfig.of(fusion="global", units=(8,)).fusion.units
        (8,)
        """
        return replace_fields(cls(), changes)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            choices = self.CHOICES.get(field.name, (value,))
            if value not in choices:
                raise SchemaError(
                    f"{type(self).__name__}: `{field.name}` must be one of "
                    f"{choices}. Got: {value!r}."
                )


@dataclasses.dataclass(frozen=True)
class FusionConfig(ConfigGroup):
    """Settings of the score: the fusion of objectives.

    Attributes:
        kind: weights that are "fixed", learned and "global", or
            "personalized", read from the session; "" ranks by expected
            business value.
        form: "log_linear", a weighted sum of logarithms of probabilities, or
            "additive", one of probabilities.
        units: widths of the hidden layers of the personalised gate.
        min_share: least share of the weights an objective gets.
        max_scale: how much sharper or flatter than its shares the log-linear
            score may become.
        weights: one float an objective: the fixed weights, or the shares the
            learning starts at; () for business values if fixed, for equal
            ones if learned.
        session_seconds: events not older belong to the session.
        use_representation: whether the personalised gate also reads what the
            ranker's network makes of user and request, before candidates.
    """

    CHOICES: ClassVar = {"kind": FUSIONS, "form": FUSION_FORMS}

    kind: str = ""
    form: str = "log_linear"
    units: tuple[int, ...] = (32,)
    min_share: float = 0.01
    max_scale: float = 16.0
    weights: tuple[float, ...] = ()
    session_seconds: float = 3600.0
    use_representation: bool = False


@dataclasses.dataclass(frozen=True)
class RankerConfig(ConfigGroup):
    """The part of a config that `RankingModel` reads itself.

    Configs of models extend it; their fields are numbers, texts, tuples and
    groups, which are frozen dataclasses too.

    Attributes:
        calibrate: whether logits pass a curve, fitted after the main
            training, before they become probabilities.
        fusion: how objectives become the score.

    Example:
    >>> RankerConfig.of(fusion="global").fusion.form
    'log_linear'
    """

    calibrate: bool = False
    fusion: FusionConfig = FusionConfig()
