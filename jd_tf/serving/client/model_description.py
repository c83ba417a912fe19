"""Inputs and outputs of a served version, by its own account."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jd_tf.schema import SERVING_ROLES, Schema
from jd_tf.serving.client.errors import SchemaMismatchError
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
    STATE_PREFIX,
)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """A version and its signatures, as `signature_table` lists them."""

    version: int
    signatures: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]

    @property
    def encodes(self) -> bool:
        """Whether users can be encoded apart from ranking."""
        return {ENCODE_USER, RANK_CANDIDATES} <= set(self.signatures)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The tensors of a user state, as `rank_candidates` takes them."""
        inputs = self.signatures[RANK_CANDIDATES]["inputs"]
        return tuple(n for n in inputs if n.startswith(STATE_PREFIX))

    def check_schema(self, schema: Schema, where: str) -> None:
        """Refuses a version that takes other columns than the schema has."""
        where = f"{where}: version {self.version}"
        default = self.signatures.get(SERVING_DEFAULT)
        if default is None:
            raise SchemaMismatchError(
                f"{where}: has no signature `{SERVING_DEFAULT}`, only "
                f"{sorted(self.signatures)}. Export it with jd_tf."
            )
        self._check_columns([SERVING_DEFAULT], schema, where)
        if self.encodes:
            # These two take what `serving_default` takes.
            self._check_columns([ENCODE_USER, RANK_CANDIDATES], schema, where)
        missing = set(RANKED) - set(default["outputs"])
        if missing:
            raise SchemaMismatchError(
                f"{where}: signature `{SERVING_DEFAULT}` gives no "
                f"{' and no '.join(sorted(missing))}: this is no ranker."
            )

    def _check_columns(
        self, signatures: Sequence[str], schema: Schema, where: str
    ) -> None:
        expected = {
            column.name: {"dtype": column.dtype, "shape": list(column.shape)}
            for column in schema.columns(*SERVING_ROLES)
        }
        found = {
            name: dict(tensor)
            for signature in signatures
            for name, tensor in self.signatures[signature]["inputs"].items()
            if not name.startswith(STATE_PREFIX)
        }
        for name in sorted({*expected, *found}):
            if expected.get(name) != found.get(name):
                raise SchemaMismatchError(
                    f"{where}: signature `{'` and `'.join(signatures)}`: "
                    f"column `{name}` is {found.get(name, 'not taken')} there, "
                    f"{expected.get(name, 'unknown')} in the client's schema "
                    f"`{schema.name}`. Give the client the schema of this "
                    "version (its assets.extra/schema.json)."
                )
