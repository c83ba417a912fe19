"""A base of rankers that compare the ids of candidates and events."""

from typing import Any

from jd_tf.layers import IdOverlap
from jd_tf.models.base import Tensors
from jd_tf.models.multi_task_ranker import MultiTaskRanker


class OverlapRanker(MultiTaskRanker):
    """Counts for each candidate how often histories hold its ids.

    A subclass calls `make_id_overlap` in `make_layers`, or leaves the overlaps
    out, and `build_id_overlap` in `build_readers`. Arguments, call arguments
    and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("din").model_class, OverlapRanker)
    True
    """

    id_overlap: Any = None

    def make_id_overlap(self) -> None:
        """Makes the layer that compares ids, one for all histories."""
        schema = self.schema
        self.id_overlap = IdOverlap(
            max_values=schema.values_per_id,
            value_rows=[c.value_rows for c in schema.item_id_columns],
            name="id_overlap",
            dtype=self.dtype_policy,
        )

    def build_id_overlap(self) -> None:
        """Builds it, if there is one."""
        if self.id_overlap is not None:
            num_ids = sum(self.schema.values_per_id)
            self.id_overlap.build((None, None, num_ids), (None, None, num_ids))

    @property
    def overlap_dim(self) -> int:
        """Width of a candidate's overlaps with all histories."""
        if self.id_overlap is None:
            return 0
        columns = len(self.schema.item_id_columns)
        features = columns * self.id_overlap.num_features(0)
        return len(self.schema.behaviors) * features

    def overlap_state(self, name: str, rows: Any, length: Any) -> dict:
        """Returns what candidates compare with, a part of the user state.

        Args:
            name: of the behaviour.
            rows: (B, L, W) integer. Table rows of its events.
            length: (B,) integer. Real events.
        """
        if self.id_overlap is None:
            return {}
        overlap = self.id_overlap.encode_history(rows, length)
        return {
            f"{name}_rows": overlap["ids"],
            f"{name}_overlap_weights": overlap["weights"],
        }

    def match_ids(self, user_state: Tensors, rows: Any) -> list[Any]:
        """Returns overlaps (B, N, F) with each history, of rows (B, N, W)."""
        if self.id_overlap is None:
            return []
        return [
            self.id_overlap.match(
                rows,
                user_state[f"{behavior.name}_rows"],
                user_state[f"{behavior.name}_overlap_weights"],
                user_state[behavior.length],
            )
            for behavior in self.schema.behaviors
        ]
