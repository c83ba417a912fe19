"""Value of a ranking that was not shown, from the log of another one."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class PolicyValue:
    """Value of a ranking a request, estimated from a log.

    Attributes:
        value: mean over requests.
        standard_error: of the mean, requests taken to be independent.
        per_request: [R], whose mean is `value`; of a self-normalised estimate
            linearised, so that a bootstrap over users may resample them.

    Example:
        >>> estimate = PolicyValue.of(np.array([1.0, 2.0, 3.0, 2.0]))
        >>> estimate.value, round(estimate.standard_error, 3)
        (2.0, 0.408)
    """

    value: float
    standard_error: float
    per_request: np.ndarray

    @classmethod
    def of(cls, per_request: np.ndarray) -> "PolicyValue":
        """Builds it from [R] values; the error of one request is nan."""
        size = len(per_request)
        spread = per_request.std(ddof=1) if size > 1 else np.nan
        error = float(spread / np.sqrt(size))
        return cls(float(per_request.mean()), error, per_request)


def rank_exposure(scores: np.ndarray, by_position: np.ndarray) -> np.ndarray:
    """Returns [R, N], the exposure of candidates in the order of their score.

    Args:
        scores: [R, N], higher is better; -inf for padding, which has none.
        by_position: [P] probability that position 0, 1, ... is examined; 0
            from P on.

    Example:
        >>> rank_exposure(np.array([[1.0, 3.0]]), np.array([1.0, 0.5])).tolist()
        [[0.5, 1.0]]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    curve = np.zeros(max(scores.shape[1], len(by_position)))
    curve[: len(by_position)] = by_position
    exposure = np.empty(scores.shape)
    placed = np.broadcast_to(curve[: scores.shape[1]], scores.shape)
    np.put_along_axis(exposure, order, placed, axis=1)
    return np.where(np.isneginf(scores), 0.0, exposure)


def plackett_luce_exposure(
    scores: np.ndarray,
    by_position: np.ndarray,
    num_samples: int = 1_000,
    seed: int = 0,
) -> np.ndarray:
    """Returns [R, N], the expected exposure where Gumbel noise joins the score.

    Sorting score plus noise draws an order of Plackett and Luce's model. Its
    expectation has no closed form that is cheap, so it is sampled.

    Args:
        scores: as in `rank_exposure`, in units of the noise.
        by_position: as in `rank_exposure`.
        num_samples: orders drawn.
        seed: of the draws.

    Example:
        >>> even = plackett_luce_exposure(np.zeros((1, 2)), np.array([1.0]))
        >>> bool(abs(even - 0.5).max() < 0.05)
        True
    """
    rng, total = np.random.default_rng(seed), np.zeros(scores.shape)
    for _ in range(num_samples):
        noisy = scores + rng.gumbel(size=scores.shape)
        total += rank_exposure(noisy, by_position)
    return total / num_samples


def inverse_propensity_value(
    rewards: np.ndarray,
    target: np.ndarray,
    logged: np.ndarray,
    exposure: np.ndarray | None = None,
    largest_weight: float = np.inf,
    self_normalized: bool = False,
) -> PolicyValue:
    """Estimates the value of a ranking by inverse propensity scores.

    With w = min(target / logged, largest_weight) and the reward y of a cell,
    the value of a request is sum_i w_i y_i. It is unbiased where rewards
    come with probability proportional to exposure and nothing is clipped;
    clipping lowers the variance and the value. Self-normalised, it is divided
    by sum w e / sum target over all requests, whose expectation is 1: an error
    of weights that is common to all cells cancels, at a bias of order 1 / R.

    Args:
        rewards: [R, N], logged rewards of candidates; 0 where not shown.
        target: [R, N] >= 0, exposure by the ranking to be judged.
        logged: [R, N], expected exposure by the ranking that was logged. Must
            be above 0 wherever `target` is. Either the mean over its orders
            (it needs a stochastic ranking) or the exposure of the very list.
        exposure: [R, N], exposure e of the very list; `logged` if None. To
            judge policies that choose one action: 1 for that action, else 0,
            and probabilities as `target` and `logged`.
        largest_weight: bound of the weights.
        self_normalized: whether weights are normalised.

    Example:
        >>> rewards = np.array([[0.0, 1.0]])
        >>> down, up = np.array([[1.0, 0.5]]), np.array([[0.5, 1.0]])
        >>> inverse_propensity_value(rewards, up, down).value
        2.0

    References:
        Thorsten Joachims, Adith Swaminathan and Tobias Schnabel, "Unbiased
        Learning-to-Rank with Biased Feedback", WSDM 2017. Adith Swaminathan
        and Thorsten Joachims, "The Self-Normalized Estimator for
        Counterfactual Learning", NeurIPS 2015.
    """
    weights = _weights(target, logged, largest_weight)
    gained = (weights * rewards).sum(axis=1)
    if not self_normalized:
        return PolicyValue.of(gained)
    weighed = (weights * (logged if exposure is None else exposure)).sum(axis=1)
    wanted = target.sum(axis=1)
    scale = wanted.mean() / weighed.mean()
    value = gained.mean() * scale
    # Linear in the three means, of which the value is a ratio.
    deviation = wanted / wanted.mean() - weighed / weighed.mean()
    return PolicyValue.of(scale * gained + value * deviation)


def doubly_robust_value(
    rewards: np.ndarray,
    predicted: np.ndarray,
    target: np.ndarray,
    logged: np.ndarray,
    exposure: np.ndarray,
    largest_weight: float = np.inf,
) -> PolicyValue:
    """Estimates the value of a ranking from predictions and their errors.

    With the predicted reward q of a candidate that is examined,

        sum_i target_i q_i + w_i (y_i - e_i q_i)

    It is unbiased if either the propensities or the predictions are right, and
    varies less than `inverse_propensity_value` if predictions are any good.
    Where `logged` is the exposure of the very list, both are the same.

    Args:
        rewards: as there.
        predicted: [R, N], expected reward of a candidate once examined.
        target: as there.
        logged: as there.
        exposure: as there.
        largest_weight: as there; without bias if predictions are right.

    Example:
        >>> rewards, q = np.array([[0.0, 1.0]]), np.array([[0.2, 0.4]])
        >>> shown, target = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
        >>> even = np.array([[0.5, 0.5]])
        >>> doubly_robust_value(rewards, q, target, even, shown).value
        0.2

    References:
        Miroslav Dudik, John Langford and Lihong Li, "Doubly Robust Policy
        Evaluation and Learning", ICML 2011. Harrie Oosterhuis, "Doubly Robust
        Estimation for Correcting Position Bias in Click Feedback for Unbiased
        Learning to Rank", TOIS 2023.
    """
    weights = _weights(target, logged, largest_weight)
    corrected = weights * (rewards - exposure * predicted)
    return PolicyValue.of((target * predicted + corrected).sum(axis=1))


def _weights(
    target: np.ndarray, logged: np.ndarray, largest_weight: float
) -> np.ndarray:
    missing = (target > 0) & (logged <= 0)
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} candidates have a `target` above 0 where "
            "`logged` is 0: the log says nothing of them."
        )
    if largest_weight <= 0:
        raise ValueError(
            f"`largest_weight` must be > 0. Got: {largest_weight}."
        )
    weights = np.zeros(np.broadcast_shapes(target.shape, logged.shape))
    np.divide(target, logged, out=weights, where=logged > 0)
    return np.minimum(weights, largest_weight)
