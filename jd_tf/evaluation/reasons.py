"""Why the reference loses, as far as training and metrics left traces."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jd_tf.evaluation.findings import Finding

FEW_REQUESTS = 10_000
_LEARNED_BY_HEART = 1.1
_COUNTS = "last_category"


def reasons(
    metrics: Mapping[str, Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
    num_train_requests: int | None,
) -> list[Finding]:
    """What may explain a loss; evidence, not proof.

    Args:
        metrics: system -> objective -> metric, of one split.
        history: rows as the trainer writes them: `step`, `loss/<objective>`,
            `validation/loss` and `validation/loss/<objective>`.
        num_train_requests: learned from, if known.
    """
    texts = [
        *_little_data(num_train_requests),
        *_course(history),
        *_gap(history),
        *_matches(metrics),
    ]
    return [Finding("why", text) for text in texts]


def _little_data(num_train_requests: int | None) -> Iterator[str]:
    if num_train_requests is not None and num_train_requests < FEW_REQUESTS:
        yield (
            f"Only {num_train_requests:,} requests were learned from. Learned "
            "id embeddings need many events an id; rates and matching counts, "
            "which the baselines use, do with few."
        )


def _course(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How the validation loss went."""
    losses = [
        (row["step"], row["validation/loss"])
        for row in history
        if row.get("validation/loss") is not None
    ]
    if len(losses) < 2:
        return
    best_step, best = min(losses, key=lambda pair: pair[1])
    (before, _), (last_step, last) = losses[-2:]
    if best_step == last_step:
        yield (
            "The validation loss was still falling at the end (steps "
            f"{before:,} to {last_step:,}): longer training may help."
        )
    elif last > 1.01 * best:
        yield (
            f"The validation loss was lowest at step {best_step:,} "
            f"({best:.4f}) and rose to {last:.4f} by step {last_step:,}: the "
            "model began to learn the training requests by heart."
        )


def _gap(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Training against validation loss at the end."""
    latest: dict[str, float] = {}
    for row in history:
        latest |= {k: v for k, v in row.items() if v is not None}
    pairs = [
        (value, latest[f"validation/{name}"])
        for name, value in latest.items()
        if name.startswith("loss/") and f"validation/{name}" in latest
    ]
    if not pairs:
        return
    training, validation = (sum(column) for column in zip(*pairs, strict=True))
    both = f"(training {training:.4f}, validation {validation:.4f}, summed)"
    if validation > _LEARNED_BY_HEART * training:
        yield (
            f"Losses differ between training and validation {both}: it knows "
            "the training requests better than users it has not seen. More "
            "data, dropout or fewer weights may help."
        )
    else:
        yield (
            f"Losses are about the same in training and validation {both}: "
            "it does not learn by heart. More steps, more weights or better "
            "inputs may help."
        )


def _matches(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Whether matching counts alone are strong."""
    if not {_COUNTS, "trees"} <= set(metrics):
        return
    for objective, entry in metrics[_COUNTS].items():
        counts = entry.get("auc")
        trees = metrics["trees"].get(objective, {}).get("auc")
        if counts is None or trees is None or trees <= 0.5:
            continue
        share = (counts - 0.5) / (trees - 0.5)
        if share > 0.5:
            yield (
                f"Counting what candidate and history share ({_COUNTS}) alone "
                f"reaches AUC {counts:.4f} on {objective}, {share:.0%} of the "
                "way from chance to trees. Trees split on such counts at once; "
                "the ranker reads them too (`use_matches`) but has to learn "
                "what they are worth step by step."
            )
        return
