"""Ranks requests with a SavedModel in process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.schema import (
    SERVING_ROLES,
    USER_ROLES,
    DataError,
    Role,
    Schema,
)
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.ranking import Ranking, describe, make_ranking
from jd_tf.serving.client.request_checker import RequestChecker
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.signatures import split_state
from jd_tf.serving.export.versions import SCHEMA_FILE, resolve
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    FUSION_WEIGHTS,
    PER_REQUEST,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
)

_BATCH_SIZE = 32


class SavedRanker:
    """A SavedModel that answers requests; needs its folder alone.

    Args:
        path: a version folder, or a model's folder, whose highest version is
            then taken.

    Raises:
        ExportError: if there is no whole SavedModel.
    """

    def __init__(self, path: str | Path):
        self.folder = resolve(path)
        self.model = LoadedModel(self.folder)
        self.schema = Schema.load(self.folder / SCHEMA_FILE)
        self._checker = RequestChecker(self.schema)
        self._columns = self.schema.columns(*SERVING_ROLES)
        self._user = self.schema.columns(*USER_ROLES)
        self._candidates = self.schema.columns(Role.CANDIDATE)

    def rank(
        self,
        requests: Sequence[Mapping[str, Any]],
        batch_size: int = _BATCH_SIZE,
    ) -> list[Ranking]:
        """Ranks the candidates of each request.

        Any number of candidates will do: none gives an empty ranking, and
        more than the schema allows are scored in slices with the user encoded
        once, since candidates do not see each other.

        Args:
            requests: unpadded columns by name.
            batch_size: requests scored together.

        Returns:
            One ranking a request, in order.

        Raises:
            DataError: naming request, column and value.
        """
        checked = []
        for number, request in enumerate(requests):
            try:
                checked.append(self._checker.check(request))
            except DataError as error:
                raise DataError(
                    f"{describe(request, number)}: {error}."
                ) from error
        answers: dict[int, dict[str, np.ndarray]] = {}
        together = []
        for number, request in enumerate(checked):
            count = int(request["num_candidates"])
            if count > self.schema.max_candidates:
                answers[number] = self._rank_in_slices(request)
            elif count:
                together.append(number)
            else:
                answers[number] = self._nothing()
        for start in range(0, len(together), batch_size):
            numbers = together[start : start + batch_size]
            batch = [checked[number] for number in numbers]
            answers.update(zip(numbers, self._rank_batch(batch), strict=True))
        return [
            make_ranking(
                requests[number].get("request_id", number),
                request["item_id"],
                *(answers[number][name] for name in RANKED),
                self.schema.objective_names,
                answers[number].get(FUSION_WEIGHTS),
            )
            for number, request in enumerate(checked)
        ]

    def score(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores a padded batch, as evaluation and pipelines do.

        Args:
            batch: serving columns with lengths; other columns are ignored.

        Returns:
            `score` (B, N), `probabilities` (B, N, T) and, with a fusion,
            `fusion_weights` (B, T).
        """
        inputs = {column.name: batch[column.name] for column in self._columns}
        return self._finite(self.model.call(SERVING_DEFAULT, inputs))

    def _rank_batch(
        self, requests: Sequence[Mapping[str, np.ndarray]]
    ) -> list[dict[str, np.ndarray]]:
        ranked = self.score(pad_requests(requests, self._columns))
        return [
            {
                name: array[row]
                if name in PER_REQUEST
                else array[row, : request["num_candidates"]]
                for name, array in ranked.items()
            }
            for row, request in enumerate(requests)
        ]

    def _rank_in_slices(
        self, request: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        user = pad_requests([request], self._user)
        state, _ = split_state(self.model.call(ENCODE_USER, user))
        slices = []
        step = self.schema.max_candidates
        for start in range(0, int(request["num_candidates"]), step):
            part = {
                column.name: request[column.name][start : start + step]
                for column in self._candidates
                if column.ragged
            }
            part["num_candidates"] = np.int32(len(part["item_id"]))
            inputs = {**state, **pad_requests([part], self._candidates)}
            ranked = self._finite(self.model.call(RANK_CANDIDATES, inputs))
            slices.append({name: array[0] for name, array in ranked.items()})
        # Of one user, they are the same in all slices.
        once = {n: slices[0][n] for n in PER_REQUEST if n in slices[0]}
        return once | {
            name: np.concatenate([part[name] for part in slices])
            for name in RANKED
        }

    def _nothing(self) -> dict[str, np.ndarray]:
        num_objectives = len(self.schema.objectives)
        return {
            "score": np.zeros(0, "float32"),
            "probabilities": np.zeros((0, num_objectives), "float32"),
        }

    def _finite(self, ranked: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not np.isfinite(ranked["score"]).all():
            raise ExportError(
                f"{self.folder}: answered a score that is not finite; the "
                "model is broken. Train and export again."
            )
        return ranked
