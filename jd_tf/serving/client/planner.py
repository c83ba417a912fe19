"""Decides which calls rank a request; makes none itself.

A planner is given the function that makes calls. Under asyncio that function
waits; in threads it blocks, so that a coroutine of the planner never waits.
"""

import collections
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError, Schema
from jd_tf.serving.batching import candidate_buckets, cut_slices, pad_requests
from jd_tf.serving.client import errors
from jd_tf.serving.client.options import ClientOptions
from jd_tf.serving.client.ranking import Ranking, make_ranking, merge_answers
from jd_tf.serving.client.state_cache import StateCache, fingerprint
from jd_tf.serving.client.transport import (
    Answer,
    BaseTransport,
    Call,
    Describe,
    ModelDescription,
    Operation,
)
from jd_tf.serving.signature_names import (
    AMOUNTS,
    ENCODE_AND_RANK,
    ENCODE_USER,
    ITEM_ID,
    RANK_CANDIDATES,
    REQUEST_TIME,
    SERVING_DEFAULT,
)

# Versions come and go for as long as a client lives.
_MAX_DESCRIPTIONS = 8
# A message that quotes ten megabytes is of no help.
_LONGEST_MESSAGE = 600

Inputs = Mapping[str, np.ndarray]
# Makes calls, side by side, and returns their outcomes in the same order.
Send = Callable[[Sequence[Operation]], Awaitable[list[Any]]]


class _VersionSwitched(Exception):  # noqa: N818
    """Answers of several versions met in one ranking."""


class Planner:
    """The part of a client that makes no calls."""

    def __init__(
        self, transport: BaseTransport, schema: Schema, options: ClientOptions
    ):
        self._transport = transport
        self._schema = schema
        self._options = options
        self._cache = StateCache(
            options.max_users,
            options.max_state_bytes,
            options.state_seconds,
            tolerance=options.state_tolerance,
        )
        self._validator = RequestValidator(
            schema, SERVING_ROLES, options.max_string_bytes
        )
        self._columns = schema.columns(*SERVING_ROLES)
        size = options.slice_size
        self._slice_size = schema.max_candidates if size is None else size
        self._buckets = self._check_buckets()
        # As wide as can be, for the same reason that slices have buckets.
        self._widths = {
            b.length: b.max_length for b in schema.behaviors if self._buckets
        }
        self._lock = threading.Lock()
        self._descriptions: dict[int, ModelDescription] = {}
        self._version: int | None = None
        self._counts: collections.Counter = collections.Counter()

    def stats(self) -> dict[str, Any]:
        """Counts of requests, calls and version switches, and the cache's."""
        with self._lock:
            counts = dict(self._counts)
        return {
            "requests": counts.pop("requests", 0),
            "version_switches": counts.pop("version_switches", 0),
            "calls": dict(sorted(counts.items())),
            "cache": self._cache.stats(),
        }

    async def rank(self, request: Mapping[str, Any], send: Send) -> Ranking:
        """Ranks one request; raises a `ClientError`, see the clients."""
        self._count("requests")
        checked = self._check(request)
        schema, version = self._schema, None
        answer = {
            "score": np.zeros(0, "float32"),
            "probabilities": np.zeros(
                (0, len(schema.outcome_names)), "float32"
            ),
        }
        if schema.amount_names:
            answer[AMOUNTS] = np.zeros((0, len(schema.amount_names)), "float32")
        if checked["num_candidates"]:
            answer, version = await self._ranked(checked, send)
        return make_ranking(
            request.get("request_id", 0),
            checked["item_id"],
            answer,
            schema.objective_names,
            version,
        )

    def serving_inputs(self, request: Mapping[str, Any]) -> Inputs:
        """Returns the request as `serving_default` takes it: for logs."""
        checked = self._check(request)
        given = [column for column in self._columns if column.name in checked]
        return pad_requests([checked], given)

    def _check_buckets(self) -> tuple[int, ...]:
        buckets, size = self._options.buckets, self._slice_size
        if not 1 <= size <= self._schema.max_candidates:
            raise errors.RequestError(
                f"`slice_size` must be from 1 to {self._schema.max_candidates},"
                f" which the schema allows. Got: {size}."
            )
        if buckets is None:
            return candidate_buckets(size) if self._transport.remote else ()
        buckets = tuple(buckets)
        ascending = list(buckets) == sorted({b for b in buckets if b > 0})
        if buckets and not (ascending and buckets[-1] == size):
            raise errors.RequestError(
                f"`buckets` must ascend to `slice_size` ({size}). Got: "
                f"{buckets}."
            )
        return buckets

    def _check(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        # Which columns a version reads is known when it was described.
        try:
            return self._validator.check(request, (ITEM_ID,))
        except DataError as error:
            message = str(error)
            if len(message) > _LONGEST_MESSAGE:
                message = f"{message[:_LONGEST_MESSAGE]} ..."
            raise errors.RequestError(message) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise errors.RequestError(
                f"cannot be read: {error!s:.{_LONGEST_MESSAGE}}"
            ) from error

    async def _ranked(
        self, checked: Inputs, send: Send
    ) -> tuple[dict[str, np.ndarray], int]:
        slices = cut_slices(checked, self._schema, self._slice_size)
        switches = self._options.max_version_switches
        for left in range(switches, -1, -1):
            # The last attempt is made of calls that need no state.
            whole = left == 0 and switches > 0
            description = await self._described(send)
            try:
                return await self._attempt(
                    description, checked, slices, whole, send
                )
            except _VersionSwitched:
                pass
            except (
                errors.ModelNotFoundError,
                errors.RejectedError,
                errors.ServerError,
            ):
                # A version that is gone, or to which the state of another has
                # no shape. Otherwise the error stands.
                now = await self._described(send, anew=True)
                if now.version == description.version:
                    raise
            self._count("version_switches")
        raise errors.VersionSwitchError(
            f"{self._transport.where}: the model's version changed during "
            f"each of {switches + 1} attempts. Is a broken version published "
            "again and again, or do servers behind one address serve "
            "different versions?"
        )

    async def _attempt(
        self,
        description: ModelDescription,
        checked: Inputs,
        slices: Sequence[Inputs],
        whole: bool,
        send: Send,
    ) -> tuple[dict[str, np.ndarray], int]:
        read = description.signatures[SERVING_DEFAULT]["inputs"]
        try:
            self._validator.check_missing(checked, read)
        except DataError as error:
            raise errors.RequestError(str(error)) from error
        state, signature = None, SERVING_DEFAULT
        if description.encodes and not whole:
            signature = RANK_CANDIDATES
            # All that the state is made of: histories, and no clock, unless
            # the model is not `reusable`.
            columns = set(description.signatures[ENCODE_USER]["inputs"])
            timed = REQUEST_TIME in columns
            moment = int(checked[REQUEST_TIME]) if timed else 0
            key = fingerprint(checked, sorted(columns - {REQUEST_TIME}))
            state = self._cache.get((key, description.version), moment)
            if state is None and len(slices) == 1:
                signature = ENCODE_AND_RANK
                if self._options.one_call and not self._cache.met(key):
                    signature = SERVING_DEFAULT
            elif state is None:
                state = await self._encode(description, checked, send)
                self._cache.put((key, description.version), state, moment)
        answers = await send(
            [self._call(description, signature, part, state) for part in slices]
        )
        versions = {answer.version for answer in answers}
        others = versions - {description.version}
        if others:
            self._version = max(others)
        # One call by itself is of one version, whichever that is.
        if others and (state is not None or len(versions) > 1):
            raise _VersionSwitched
        counts = [int(part["num_candidates"]) for part in slices]
        where = self._transport.where
        merged = merge_answers(answers, counts, self._schema, where)
        if signature == ENCODE_AND_RANK and not others:
            # That of another version may have other names.
            state = self._state(description, signature, answers[0])
            self._cache.put((key, description.version), state, moment)
        return merged, versions.pop()

    async def _encode(
        self, description: ModelDescription, checked: Inputs, send: Send
    ) -> Inputs:
        answer: Answer
        (answer,) = await send([self._call(description, ENCODE_USER, checked)])
        self._version = answer.version
        if answer.version != description.version:
            # Its state may have other names.
            raise _VersionSwitched
        return self._state(description, ENCODE_USER, answer)

    def _state(
        self, description: ModelDescription, signature: str, answer: Answer
    ) -> Inputs:
        names = description.state_names
        missing = set(names) - set(answer.outputs)
        if missing:
            raise errors.AnswerError(
                f"{self._transport.where}: `{signature}` lacks "
                f"{sorted(missing)}, which `{RANK_CANDIDATES}` takes. Export "
                "the model again."
            )
        return {name: answer.outputs[name] for name in names}

    async def _described(
        self, send: Send, anew: bool = False
    ) -> ModelDescription:
        """Metadata of the version that answered last, requested once."""
        known = self._descriptions.get(self._version)  # type: ignore[arg-type]
        if known is not None and not anew:
            return known
        (description,) = await send([Describe()])
        if description.version not in self._descriptions:
            description.check_schema(self._schema, self._transport.where)
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
        request: Inputs,
        state: Inputs | None = None,
    ) -> Call:
        """A call with the columns that the signature takes, and the state."""
        taken = description.signatures[signature]["inputs"]
        columns = [c for c in self._columns if c.name in taken]
        count = int(request["num_candidates"])
        width = next((b for b in self._buckets if b >= count), count)
        widths = {**self._widths, "num_candidates": width}
        self._count(signature)
        inputs = pad_requests([request], columns, widths)
        return Call(signature, {**inputs, **(state or {})})

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
