"""Checks of layer arguments, with one wording for every layer.

Each returns the value in its plain type, or raises a ValueError that names
the argument and what it was given.
"""

import math
from collections.abc import Sequence

ID_DTYPES = ("int64", "string")


def check_int(name: str, value: int, minimum: int) -> int:
    """Returns a whole number that is not below `minimum`."""
    if not hasattr(value, "__index__") or value < minimum:
        raise ValueError(
            f"`{name}` must be an integer >= {minimum}. Got: {value!r}."
        )
    return int(value)


def check_positive(name: str, value: float) -> float:
    """Returns a finite number above 0."""
    if not 0.0 < value < math.inf:
        raise ValueError(
            f"`{name}` must be positive and finite. Got: {value!r}."
        )
    return float(value)


def check_units(
    name: str, units: Sequence[int], minimum_count: int = 1
) -> tuple[int, ...]:
    """Returns layer widths, at least `minimum_count` of them."""
    if isinstance(units, str) or not hasattr(units, "__iter__"):
        raise ValueError(f"`{name}` must be a tuple of widths. Got: {units!r}.")
    units = tuple(units)
    if len(units) < minimum_count:
        raise ValueError(
            f"`{name}` must name at least {minimum_count} width(s). "
            f"Got: {units!r}."
        )
    return tuple(check_int(f"{name}[{i}]", u, 1) for i, u in enumerate(units))


def check_rate(name: str, rate: float) -> float:
    """Returns a dropout rate in [0, 1)."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"`{name}` must be in [0, 1). Got: {rate!r}.")
    return float(rate)


def check_id_dtype(id_dtype: str) -> str:
    """Returns one of `ID_DTYPES`."""
    if id_dtype not in ID_DTYPES:
        raise ValueError(
            f'`id_dtype` must be "int64" or "string". Got: {id_dtype!r}.'
        )
    return id_dtype


def check_heads(dim: int | None, num_heads: int, where: str) -> int:
    """Returns the width of one head of a tensor that is `dim` wide."""
    if dim is None or dim % num_heads:
        raise ValueError(
            f"The last axis of {where} must be known and a multiple of "
            f"`num_heads`={num_heads}. Got: {dim}."
        )
    return dim // num_heads


def check_weights(
    name: str, weights: Sequence[float], num_objectives: int
) -> tuple[float, ...]:
    """Returns no or T finite numbers >= 0, not all of them 0."""
    weights = tuple(float(weight) for weight in weights)
    if weights and (
        len(weights) != num_objectives
        or not all(0 <= weight < math.inf for weight in weights)
        or not any(weights)
    ):
        raise ValueError(
            f"`{name}` must be {num_objectives} finite numbers >= 0, not all "
            f"of them 0. Got: {weights}."
        )
    return weights


def check_given(given: Sequence[int]) -> tuple[int, ...]:
    """Returns for each objective the earlier one that it needs, -1 for none."""
    given = tuple(check_int(f"given[{i}]", g, -1) for i, g in enumerate(given))
    if not given:
        raise ValueError("`given` must name an objective. Got: ().")
    for index, parent in enumerate(given):
        if parent >= index:
            raise ValueError(
                f"`given[{index}]` must be -1 or the index of an earlier "
                f"objective. Got: {parent}."
            )
    return given


def check_logits(inputs_shape: Sequence, given: Sequence[int]) -> None:
    """Raises an error if the last axis is not as long as `given`."""
    if inputs_shape[-1] != len(given):
        raise ValueError(
            f"`inputs` must have {len(given)} logits on the last axis, as "
            f"`given` has. Got: {tuple(inputs_shape)}."
        )
