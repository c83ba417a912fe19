"""The learned words of titles, and the target of a photo."""

import numpy as np
import pytest

from jd_tf.images.title_words import frequent_words, title_tokens, word_targets

TITLES = ("Red hat", "red SHOE", "Blue shoe", "", "blue blue hat, new")


def test_words_of_some_titles_are_learned():
    # "new" stands in one title only; a word twice in a title counts once.
    assert frequent_words(TITLES, 2) == ("blue", "hat", "red", "shoe")
    assert frequent_words(TITLES, 3) == ()
    # What all titles share tells nothing.
    assert frequent_words(("a hat", "a shoe", "a hat", "a shoe"), 1) == (
        "hat",
        "shoe",
    )


def test_the_words_of_a_title_share_one():
    words = ("blue", "hat", "red", "shoe")
    expected = [
        [0, 1 / 2, 1 / 2, 0],
        [0, 0, 1 / 2, 1 / 2],
        [1 / 2, 0, 0, 1 / 2],
        [0, 0, 0, 0],
        [1 / 2, 1 / 2, 0, 0],
    ]
    np.testing.assert_allclose(word_targets(TITLES, words), expected)


def test_titles_are_split_as_the_ranker_splits_them():
    assert title_tokens(["红色连衣裙 XL", "T-shirt"]) == [
        ["红色", "色连", "连衣", "衣裙", "xl"],
        ["t", "shirt"],
    ]


@pytest.mark.parametrize("titles", [(), ("", "")])
def test_no_titles_no_words(titles):
    assert frequent_words(titles, 1) == ()
    assert word_targets(titles, ()).shape == (len(titles), 0)
