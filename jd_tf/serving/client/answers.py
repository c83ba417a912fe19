"""Answers checked, trimmed and put together again."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jd_tf.schema import Schema
from jd_tf.serving.client.call import Answer
from jd_tf.serving.client.errors import AnswerError
from jd_tf.serving.signature_names import FUSION_WEIGHTS, RANKED


def checked_answer(
    answer: Answer,
    num_candidates: int,
    once: Collection[str],
    schema: Schema,
    where: str,
) -> dict[str, np.ndarray]:
    """One slice's outputs without batch axis and padding.

    Args:
        answer: of `serving_default` or `rank_candidates`, B = 1.
        num_candidates: real ones; the outputs may be wider.
        once: outputs that a request has one of.
        schema: names the objectives.
        where: for messages.

    Raises:
        AnswerError: if a shape is wrong or a number is not finite.
    """
    where = f"{where}: version {answer.version}"
    missing = set(RANKED) - set(answer.outputs)
    if missing:
        raise AnswerError(
            f"{where}: no {' and no '.join(sorted(missing))} in its answer. "
            "Is it a ranker that was exported with jd_tf?"
        )
    part = {}
    for name, array in answer.outputs.items():
        per_candidate = name not in once
        if (
            array.ndim < 1 + per_candidate
            or array.shape[0] != 1
            or (per_candidate and array.shape[1] < num_candidates)
        ):
            raise AnswerError(
                f"{where}: `{name}` of {num_candidates} candidates has shape "
                f"{list(array.shape)}. Export the model again."
            )
        part[name] = array[0, :num_candidates] if per_candidate else array[0]
    num_objectives = len(schema.objectives)
    shapes = {
        "score": (num_candidates,),
        "probabilities": (num_candidates, num_objectives),
        FUSION_WEIGHTS: (num_objectives,),
    }
    for name, shape in shapes.items():
        if name in part and part[name].shape != shape:
            raise AnswerError(
                f"{where}: `{name}` has shape {list(part[name].shape)}, should "
                f"have {list(shape)}. Give the client the model's schema."
            )
        if name in part and not np.isfinite(part[name]).all():
            raise AnswerError(
                f"{where}: answered a {name} that is not finite; the model is "
                "broken. Train and export again."
            )
    return part


def merge(
    parts: Sequence[Mapping[str, np.ndarray]], once: Collection[str]
) -> dict[str, np.ndarray]:
    """Slices, in order, as one answer."""
    if len(parts) == 1:
        return dict(parts[0])
    return {
        name: array
        if name in once
        else np.concatenate([part[name] for part in parts])
        for name, array in parts[0].items()
    }
