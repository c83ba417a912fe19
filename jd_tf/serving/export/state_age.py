"""The error of scores that are ranked with a user state of another moment.

A state made of histories alone has none. One of a model that is not `reusable`
is exact at the `request_time` it was made at; clients that rank with it later
(`ClientOptions.state_tolerance`) choose for how long by what is measured here.
"""

from collections.abc import Sequence

import numpy as np

from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.export.verification.comparison import difference
from jd_tf.serving.signature_names import (
    ITEM_ID,
    RANK_CANDIDATES,
    REQUEST_TIME,
    SERVING_DEFAULT,
)

AGES = (1, 10, 60, 600, 3600)


def state_age_errors(
    served: ServedRanker, calls: Sequence[Recording]
) -> dict[str, float]:
    """Measures it on the widest batch of the recorded calls.

    Args:
        served: with its signatures traced.
        calls: of `record_calls`; those that rank hold the state of their own
            moment.

    Returns:
        Age of the state in seconds -> largest difference from the score of a
        fresh one, relative to the largest score.
    """
    # Of equal sizes the first, which is the same batch of both.
    fresh, aged = (
        max(
            (call for call in calls if call.signature == signature),
            key=lambda call: len(call.inputs[ITEM_ID]),
        )
        for signature in (SERVING_DEFAULT, RANK_CANDIDATES)
    )

    def score(call: Recording, age: int) -> np.ndarray:
        later = call.inputs[REQUEST_TIME] + age
        inputs = {**call.inputs, REQUEST_TIME: later}
        return served.answer(call.signature, inputs)["score"].numpy()

    return {
        str(age): difference(score(fresh, age), score(aged, age))
        for age in AGES
    }
