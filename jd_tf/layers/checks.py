"""Checks of layer arguments, with one wording for every layer."""

from collections.abc import Sequence


def check_int(name: str, value: int, minimum: int) -> int:
    """Returns `value` as an int, or raises an error that names the argument.

    Args:
        name: str. The argument's name, for the message.
        value: int. The value to check.
        minimum: int. The smallest value allowed.

    Raises:
        ValueError: `value` is no whole number or below `minimum`.
    """
    if not hasattr(value, "__index__") or value < minimum:
        raise ValueError(
            f"`{name}` must be an integer >= {minimum}. Got: {value!r}."
        )
    return int(value)


def check_units(
    name: str, units: Sequence[int], minimum_count: int = 1
) -> tuple[int, ...]:
    """Returns layer widths as a tuple of ints, or raises an error.

    Args:
        name: str. The argument's name, for the message.
        units: ints. The widths, first layer first.
        minimum_count: int. How many widths there must be at least.

    Raises:
        ValueError: too few widths, or one that is not positive.
    """
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
    """Returns a dropout rate as a float, or raises an error.

    Args:
        name: str. The argument's name, for the message.
        rate: float. The share to drop.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"`{name}` must be in [0, 1). Got: {rate!r}.")
    return float(rate)


def check_heads(dim: int | None, num_heads: int, where: str) -> int:
    """Returns the width of one head, or raises an error if heads do not fit.

    Args:
        dim: int or None. Width of the tensor to split.
        num_heads: int. Number of heads.
        where: str. The name of that tensor, for the message.

    Raises:
        ValueError: the width is unknown or no multiple of `num_heads`.
    """
    if dim is None or dim % num_heads:
        raise ValueError(
            f"The last axis of {where} must be known and a multiple of "
            f"`num_heads`={num_heads}. Got: {dim}."
        )
    return dim // num_heads


def check_weights(
    name: str, weights: Sequence[float], num_objectives: int
) -> tuple[float, ...]:
    """Returns no or T finite numbers >= 0, or raises an error.

    Args:
        name: str. The argument's name, for the message.
        weights: the numbers to check; may be empty.
        num_objectives: int. T.

    Raises:
        ValueError: another number of them, one negative or not finite, or
            all zero.
    """
    weights = tuple(float(weight) for weight in weights)
    if not weights:
        return weights
    if (
        len(weights) != num_objectives
        or not all(0 <= weight < float("inf") for weight in weights)
        or not any(weights)
    ):
        raise ValueError(
            f"`{name}` must be {num_objectives} finite numbers >= 0, not all "
            f"of them 0. Got: {weights}."
        )
    return weights


def check_given(given: Sequence[int]) -> tuple:
    """Returns the objective that each one needs, or raises an error.

    Args:
        given: ints. Per objective the index of the one it cannot happen
            without, which must come before it; -1 for none.

    Raises:
        ValueError: no objective, or an index not before its own place.
    """
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
