"""A served model without a model: each version scores by a formula."""

import collections
import threading

import numpy as np

from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, SERVING_ROLES, Role
from jd_tf.serving.client.transport import (
    Answer,
    Describe,
    ModelDescription,
    Transport,
)
from tests.requests import small_schema

SCHEMA = small_schema()


class FakeTransport(Transport):
    """Scores depend on version, user and item; `version` can be switched.

    Attributes:
        before: called with every call and its number; may raise or switch.
        calls: signature and inputs of every call, in order.
    """

    where = "fake: m (latest)"

    def __init__(self, version=1, before=None, remote=True):
        self.version = version
        self.before = before or (lambda call, number: None)
        self.remote = remote
        self.calls = []
        self.described = 0
        self.closed = False
        self._lock = threading.Lock()

    def call(self, operation, timeout):
        if isinstance(operation, Describe):
            self.described += 1
            return description(self.version)
        return self.answer(operation)

    def answer(self, call):
        with self._lock:
            number = len(self.calls)
            self.calls.append((call.signature, call.inputs))
        self.before(call, number)
        version = self.version
        inputs = call.inputs
        if call.signature == "encode_user":
            user = np.full((1, 2), clicked(inputs), "float32")
            return Answer({"user_state_sum": user + 1000 * version}, version)
        user = inputs.get("user_state_sum")
        if user is None:
            user = np.full((1, 2), clicked(inputs) + 1000 * version)
        items = inputs["item_id"].astype("float32")
        # A state of another version makes nonsense: of no version's scores.
        user = user[:, :1] - 1000 * version + inputs["hour"][:, None]
        score = items * (user + 1) * version
        weights = np.array([[1.0, 2.0, 3.0]], "float32") * version
        state = {}
        if call.signature == "encode_and_rank":
            user = np.full((1, 2), clicked(inputs) + 1000 * version, "float32")
            state = {"user_state_sum": user}
        outputs = {
            **state,
            "score": score,
            "probabilities": np.stack([score, score, score], -1),
            "fusion_weights": weights,
        }
        return Answer(outputs, version)

    def close(self):
        self.closed = True

    def signatures(self):
        """Returns the number of calls of each."""
        return dict(collections.Counter(name for name, _ in self.calls))


def clicked(inputs):
    """A number for the history of a user."""
    length = int(np.ravel(inputs["click_length"])[0])
    return float(np.ravel(inputs["click_item_id"])[:length].sum())


def expected_scores(request, version):
    """Scores of a version, in request order."""
    user = float(np.sum(request["click_item_id"]) + request["hour"])
    return np.asarray(request["item_id"], "float32") * (user + 1) * version


def description(version, schema=SCHEMA):
    """The metadata of a version."""

    def tensors(*roles):
        return {
            column.name: {"dtype": column.dtype, "shape": list(column.shape)}
            for column in schema.columns(*roles)
        }

    state = {"user_state_sum": {"dtype": "float32", "shape": [None, 2]}}
    ranked = {
        "score": {"dtype": "float32", "shape": [None, None]},
        "probabilities": {"dtype": "float32", "shape": [None, None, 3]},
        "fusion_weights": {"dtype": "float32", "shape": [None, 3]},
    }
    return ModelDescription(
        version,
        {
            "serving_default": {
                "inputs": tensors(*SERVING_ROLES),
                "outputs": ranked,
            },
            "encode_and_rank": {
                "inputs": tensors(*SERVING_ROLES),
                "outputs": {**state, **ranked},
            },
            "encode_user": {
                "inputs": tensors(*HISTORY_ROLES),
                "outputs": state,
            },
            "rank_candidates": {
                "inputs": {
                    **tensors(*REQUEST_ROLES, Role.CANDIDATE),
                    **state,
                },
                "outputs": ranked,
            },
        },
    )


def with_candidates(request, count, schema=SCHEMA):
    """The same user, other candidates, all ids different."""
    changed = dict(request)
    for column in schema.columns(Role.CANDIDATE):
        if column.ragged:
            value = np.asarray(request[column.name])
            changed[column.name] = np.resize(value, (count, *value.shape[1:]))
    changed["item_id"] = np.arange(101, 101 + count)
    return {
        name: value
        for name, value in changed.items()
        if name
        not in (
            "labels",
            "label_weights",
            "position",
            "page",
            "num_candidates",
        )
    }
