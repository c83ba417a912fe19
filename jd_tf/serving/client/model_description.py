"""Inputs and outputs of a served version, by its own account."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, Schema
from jd_tf.serving.client.errors import SchemaMismatchError
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    PER_REQUEST,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
    STATE_PREFIX,
)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The signatures of one version.

    Attributes:
        version: its number.
        signatures: signature -> "inputs" or "outputs" -> tensor name -> its
            `dtype` and `shape`, None where any size will do; as
            `signature_table` makes them.
    """

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

    def once_a_request(self, signature: str) -> tuple[str, ...]:
        """Returns the outputs of a request, not of each candidate."""
        outputs = self.signatures[signature]["outputs"]
        return tuple(
            name
            for name, tensor in outputs.items()
            if name in PER_REQUEST
            or len(tensor["shape"] or ()) < 2
            or tensor["shape"][1] is not None
        )

    def check_schema(self, schema: Schema, where: str) -> None:
        """Refuses a version that takes other columns than the schema has.

        Raises:
            SchemaMismatchError: naming signature and column.
        """
        where = f"{where}: version {self.version}"
        default = self.signatures.get(SERVING_DEFAULT)
        if default is None:
            raise SchemaMismatchError(
                f"{where}: has no signature `{SERVING_DEFAULT}`, only "
                f"{sorted(self.signatures)}. Export it with jd_tf."
            )
        self._check_columns((SERVING_DEFAULT,), schema, where)
        if self.encodes:
            # Together they take what `serving_default` takes.
            self._check_columns((ENCODE_USER, RANK_CANDIDATES), schema, where)
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

    def check_inputs(
        self, signature: str, inputs: Mapping[str, np.ndarray], where: str
    ) -> None:
        """Refuses a call that the signature does not take.

        A model server checks names and dtypes only: a wrong shape is
        broadcast, or fails somewhere in the graph.

        Raises:
            SchemaMismatchError: naming the tensor.
        """
        expected = self.signatures[signature]["inputs"]
        if set(expected) != set(inputs):
            raise SchemaMismatchError(
                f"{where}: signature `{signature}` takes {sorted(expected)}. "
                f"Got: {sorted(inputs)}."
            )
        for name, array in inputs.items():
            tensor = expected[name]
            text = array.dtype.kind in "OSU"
            dtype = "string" if text else array.dtype.name
            shape = tensor["shape"]
            fits = shape is None or (
                len(shape) == array.ndim
                and all(
                    wanted in (None, size)
                    for wanted, size in zip(shape, array.shape, strict=True)
                )
            )
            if dtype != tensor["dtype"] or not fits:
                raise SchemaMismatchError(
                    f"{where}: signature `{signature}`: `{name}` must be "
                    f"{tensor['dtype']} with shape {shape}. Got: {dtype} with "
                    f"shape {list(array.shape)}."
                )
