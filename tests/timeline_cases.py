"""Cases of encoders of events, among those of tests/block_cases.py."""

import numpy as np

from jd_tf.models.blocks.event_encoder import EventEncoder
from jd_tf.models.blocks.timeline_encoder import TimelineEncoder
from jd_tf.schema import Behavior
from tests import case_inputs
from tests.case_inputs import EVENTS, LENGTHS, WIDTH
from tests.cases import make_case

CLICK = Behavior(
    "click",
    max_length=EVENTS,
    dwell=True,
    action_counters=("image_clicks", "comment_reads"),
    action_slots=("entry", "module", "exit"),
    num_action_ids=5,
)


def _timeline(rng):
    events = case_inputs.events(rng)
    ages = case_inputs.aged(rng)["age_seconds"].astype(np.int64)
    tokens = events.pop("inputs")
    history = {f"click_{name}": values for name, values in events.items()}
    history["click_event_time"] = -np.sort(ages, axis=1)
    return {"tokens": tokens, "history": {**history, "click_length": LENGTHS}}


def _events(rng):
    events = case_inputs.events(rng)
    tokens = events.pop("inputs")
    events["age_seconds"] = case_inputs.aged(rng)["age_seconds"]
    return {"tokens": tokens, "events": events}


TIMELINE_CASES = (
    make_case(
        "event_encoder",
        EventEncoder,
        _events,
        CLICK,
        model_dim=WIDTH,
        use_behavior=True,
        history=("tokens", "events"),
        event_outputs=True,
    ),
    make_case(
        "timeline_encoder",
        TimelineEncoder,
        _timeline,
        CLICK,
        model_dim=WIDTH,
        feedforward_dim=12,
    ),
    make_case(
        "timeline_encoder_of_means",
        TimelineEncoder,
        _timeline,
        Behavior("click", max_length=EVENTS),
        model_dim=WIDTH,
        use_sequence=False,
        use_recency=False,
    ),
)
