"""Words that enough titles share, as targets for their photos."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from jd_tf.layers.embedding.text_tokens import tokenize

_MAX_TOKENS = 64
_CHUNK = 4096


def frequent_words(titles: Sequence[str], min_images: int) -> tuple[str, ...]:
    """Finds words worth learning.

    A word of a few titles names these photos, not what they show; a word of
    all titles tells nothing.

    Args:
        titles: P texts.
        min_images: titles that a word must stand in.

    Returns:
        Words (character pairs where no spaces are written) of `min_images`
        to all but `min_images` of the titles, sorted.
    """
    counts = Counter(w for words in title_tokens(titles) for w in set(words))
    most = len(titles) - min_images
    return tuple(
        sorted(w for w, n in counts.items() if min_images <= n <= most)
    )


def word_targets(titles: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Returns (P, W) float32: the W words in a title share 1, if any."""
    places = {word: place for place, word in enumerate(words)}
    targets = np.zeros((len(titles), len(words)), np.float32)
    for target, tokens in zip(targets, title_tokens(titles), strict=True):
        target[[places[token] for token in tokens if token in places]] = 1.0
    return targets / np.maximum(targets.sum(axis=1, keepdims=True), 1.0)


def title_tokens(titles: Sequence[str]) -> list[list[str]]:
    """Splits titles as the ranker's `TextEncoder` does."""
    found = []
    for start in range(0, len(titles), _CHUNK):
        chunk = tf.constant(list(titles[start : start + _CHUNK]), tf.string)
        for tokens in tokenize(chunk, _MAX_TOKENS).to_list():
            found.append([token.decode("utf-8") for token in tokens])
    return found
