"""The declaration of an objective of tables."""

import dataclasses

from jd_tf.schema import IMPRESSION


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """An outcome of an impression, or an amount.

    Attributes:
        label: column of the impressions, positive where it happened; where
            it has no value, the impression is not in the sample space.
        label_time: column of when it happened, by default when it was shown.
        events: in place of `label`: types of events of its user and item,
            which are credited to the latest impression before them.
        amount: in place of `label`, of an amount: column of the impressions,
            a number >= 0; without a value, it counts as 0 where what it is
            `given` did not happen, and not at all elsewhere. With `events`
            one of their `numbers`, or `dwell`, to be summed.
        within: how long after the impression they count.
        value: business value of one, or of one unit of an amount.
        given: an earlier outcome, which it implies; see
            `jd_tf.schema.Objective`.
        sample_space: see there.
    """

    label: str = ""
    label_time: str = ""
    events: tuple[str, ...] = ()
    amount: str = ""
    within: str = "1d"
    value: float = 1.0
    given: str = ""
    sample_space: str = IMPRESSION
