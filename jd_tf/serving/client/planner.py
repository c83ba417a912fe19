"""Decides which calls rank a request; makes none itself.

A plan is a generator: it yields operations that may run side by side, is sent
their answers in the same order, or has the error thrown into it, and returns
the ranking. Clients with threads and with asyncio carry out the same plans.
"""

import collections
import functools
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import USER_ROLES, Role, Schema
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.answers import checked_answer, merge
from jd_tf.serving.client.call import Answer, Call, Describe
from jd_tf.serving.client.client_options import ClientOptions
from jd_tf.serving.client.errors import (
    AnswerError,
    ModelNotFoundError,
    RejectedError,
    ServerError,
    VersionSwitchError,
)
from jd_tf.serving.client.fingerprint import fingerprint
from jd_tf.serving.client.guard import RequestGuard
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.ranking import Ranking, make_ranking, plain
from jd_tf.serving.client.slicing import check_buckets, cut_slices
from jd_tf.serving.client.state_cache import StateCache
from jd_tf.serving.client.transport import AsyncTransport, Transport
from jd_tf.serving.client.user_state import UserState
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    FUSION_WEIGHTS,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
)

# Versions come and go for as long as a client lives.
_MAX_DESCRIPTIONS = 8

Plan = Generator[Sequence[Call | Describe], Sequence[Any], Any]


class _VersionSwitched(Exception):  # noqa: N818
    """Answers of several versions met in one ranking."""


class Planner:
    """The part of a client that does not wait.

    Args:
        transport: what is talked to.
        schema: the columns of a request.
        options: of the client.
    """

    def __init__(
        self,
        transport: Transport | AsyncTransport,
        schema: Schema,
        options: ClientOptions,
    ):
        self.schema = schema
        self.options = options
        self.cache = StateCache(
            options.max_users, options.max_state_bytes, options.state_seconds
        )
        self._transport = transport
        self._guard = RequestGuard(schema, options.max_string_bytes)
        self._slice_size = (
            schema.max_candidates
            if options.slice_size is None
            else options.slice_size
        )
        buckets = options.buckets
        if buckets is None and not transport.remote:
            buckets = ()
        self._buckets = check_buckets(buckets, self._slice_size, schema)
        self._user_columns = schema.columns(*USER_ROLES)
        self._candidate_columns = schema.columns(Role.CANDIDATE)
        self._key_names = self._guard.key_names(options.key_ignores)
        # As wide as can be, for the same reason that slices have buckets.
        self._user_widths = (
            {b.length: b.max_length for b in schema.behaviors}
            if self._buckets
            else {}
        )
        self._lock = threading.Lock()
        self._descriptions: dict[int, ModelDescription] = {}
        self._version: int | None = None
        self._counts: collections.Counter = collections.Counter()

    def stats(self) -> dict[str, Any]:
        """What was asked, sent and kept so far."""
        with self._lock:
            counts = dict(self._counts)
        return {
            "requests": counts.pop("requests", 0),
            "version_switches": counts.pop("version_switches", 0),
            "calls": dict(sorted(counts.items())),
            "cache": self.cache.stats(),
        }

    def plan(
        self, request: Mapping[str, Any]
    ) -> Generator[Sequence[Call | Describe], Sequence[Any], Ranking]:
        """Ranks one request.

        Raises:
            ClientError: see the clients.
        """
        self._count("requests")
        checked = self._guard.check(request)
        answer, version = self._nothing(), None
        if checked["num_candidates"]:
            answer, version = yield from self._ranked(
                checked, plain(request.get("user_id"))
            )
        return make_ranking(
            request.get("request_id", 0),
            checked["item_id"],
            *(answer[name] for name in RANKED),
            self.schema.objective_names,
            answer.get(FUSION_WEIGHTS),
            version,
        )

    def serving_inputs(
        self, request: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """The request as `serving_default` takes it: for logs."""
        checked = self._guard.check(request)
        columns = (*self._user_columns, *self._candidate_columns)
        return pad_requests([checked], columns)

    def _ranked(self, checked: Mapping[str, np.ndarray], user_id: Any) -> Plan:
        # Padded when it is asked for: with a state at hand it never is.
        user = functools.cache(
            lambda: pad_requests(
                [checked], self._user_columns, self._user_widths
            )
        )
        key = fingerprint(user_id, checked, self._key_names)
        slices = cut_slices(
            checked, self._candidate_columns, self._slice_size, self._buckets
        )
        for left in range(self.options.max_version_switches, -1, -1):
            try:
                # The last attempt is made of calls that need no state.
                whole = left == 0 and self.options.max_version_switches > 0
                return (yield from self._once(user, key, slices, whole))
            except _VersionSwitched:
                self._count("version_switches")
        raise VersionSwitchError(
            f"{self._transport.where}: the model's version changed during "
            f"each of {self.options.max_version_switches + 1} attempts. Is a "
            "broken version published again and again, or do servers behind "
            "one address serve different versions?"
        )

    def _once(
        self,
        user: Callable[[], Mapping[str, np.ndarray]],
        key: bytes,
        slices: Sequence[tuple[dict[str, np.ndarray], int]],
        whole: bool,
    ) -> Plan:
        description = yield from self._described()
        try:
            return (
                yield from self._attempt(description, user, key, slices, whole)
            )
        except (ModelNotFoundError, RejectedError, ServerError):
            # A version that is gone, or to which the state of another has no
            # shape. Otherwise the error is what it says.
            now = yield from self._described(anew=True)
            if now.version == description.version:
                raise
        raise _VersionSwitched

    def _attempt(
        self,
        description: ModelDescription,
        user: Callable[[], Mapping[str, np.ndarray]],
        key: bytes,
        slices: Sequence[tuple[dict[str, np.ndarray], int]],
        whole: bool,
    ) -> Plan:
        version = description.version
        encodes = description.encodes and self._transport.carries(description)
        state = None
        if encodes and not whole:
            state = self.cache.get((key, version))
            if state is None and len(slices) == 1 and self.options.one_call:
                whole = not self.cache.met(key)
        if whole or not encodes:
            return (
                yield from self._rank(
                    description,
                    SERVING_DEFAULT,
                    [({**user(), **part}, count) for part, count in slices],
                )
            )
        if state is None:
            state = yield from self._encode(description, user())
            self.cache.put((key, version), state)
        return (
            yield from self._rank(
                description,
                RANK_CANDIDATES,
                [({**state.tensors, **part}, count) for part, count in slices],
            )
        )

    def _encode(
        self, description: ModelDescription, user: Mapping[str, np.ndarray]
    ) -> Generator[Sequence[Call], Sequence[Answer], UserState]:
        call = self._call(description, ENCODE_USER, user)
        (answer,) = yield [call]
        self._version = answer.version
        if answer.version != description.version:
            # Its state may have other names.
            raise _VersionSwitched
        missing = set(description.state_names) - set(answer.outputs)
        if missing:
            raise AnswerError(
                f"{self._transport.where}: `{ENCODE_USER}` lacks "
                f"{sorted(missing)}, which `{RANK_CANDIDATES}` takes. Export "
                "the model again."
            )
        return UserState(
            answer.version,
            {name: answer.outputs[name] for name in description.state_names},
        )

    def _rank(
        self,
        description: ModelDescription,
        signature: str,
        calls: Sequence[tuple[Mapping[str, np.ndarray], int]],
    ) -> Plan:
        answers = yield [
            self._call(description, signature, inputs) for inputs, _ in calls
        ]
        versions = {answer.version for answer in answers}
        strangers = versions - {description.version}
        if strangers:
            self._version = max(strangers)
        # One call by itself is of one version, whichever that is.
        alone = signature == SERVING_DEFAULT and len(versions) == 1
        if strangers and not alone:
            raise _VersionSwitched
        once = description.once_a_request(signature)
        where = self._transport.where
        parts = [
            checked_answer(answer, count, once, self.schema, where)
            for answer, (_, count) in zip(answers, calls, strict=True)
        ]
        return merge(parts, once), versions.pop()

    def _described(self, anew: bool = False) -> Plan:
        """Metadata of the version that answered last, asked for once."""
        known = self._descriptions.get(self._version)
        if known is not None and not anew:
            return known
        (description,) = yield [Describe()]
        if description.version not in self._descriptions:
            description.check_schema(self.schema, self._transport.where)
        with self._lock:
            self._descriptions[description.version] = description
            while len(self._descriptions) > _MAX_DESCRIPTIONS:
                del self._descriptions[min(self._descriptions)]
            self._version = description.version
        return description

    def _call(
        self,
        description: ModelDescription,
        signature: str,
        inputs: Mapping[str, np.ndarray],
    ) -> Call:
        description.check_inputs(signature, inputs, self._transport.where)
        self._count(signature)
        return Call(signature, inputs)

    def _nothing(self) -> dict[str, np.ndarray]:
        num_objectives = len(self.schema.objectives)
        return {
            "score": np.zeros(0, "float32"),
            "probabilities": np.zeros((0, num_objectives), "float32"),
        }

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
