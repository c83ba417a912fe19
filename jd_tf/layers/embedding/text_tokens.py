"""Words and character pairs of texts, found inside the graph.

Uses only operations that every stock TensorFlow server has, and no file
beside the SavedModel: the kinds of characters are a small constant.
"""

import functools
import unicodedata
from typing import Any

import numpy as np
import tensorflow as tf

_SEPARATOR, _WORD, _CJK = range(3)
# First words of the names of characters that are written without spaces.
_CJK_NAMES = ("CJK ", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA")
# No plane above the third has letters.
_NUM_CHARACTERS = 0x40000
_PAGE_SIZE = 256


def tokenize(texts: Any, max_tokens: int) -> tf.RaggedTensor:
    """Splits texts (S,) of UTF-8 into at most `max_tokens` tokens each.

    Letters and digits become lower case and their compatibility form,
    where that is one character (full-width latin, for instance);
    all other characters separate. Runs of letters and digits are words;
    runs of Chinese, Japanese or Korean characters become their overlapping
    pairs, or the character if it is alone. Broken UTF-8 separates.
    """
    # The line feed ends every text with a separator, so that neighbours can
    # be compared across the ends of texts.
    texts = tf.strings.join([texts, "\n"])
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    folded, kind = _fold(characters.values)
    before = tf.concat([[_SEPARATOR], kind[:-1]], axis=0)
    after = tf.concat([kind[1:], [_SEPARATOR]], axis=0)

    is_word = kind == _WORD
    word_starts = is_word & (before != _WORD)
    word_ends = tf.where(is_word & (after != _WORD))[:, 0] + 1
    pairs = after == _CJK
    starts_token = word_starts | ((kind == _CJK) & (pairs | (before != _CJK)))
    starts = tf.where(starts_token)[:, 0]
    # The k-th word ends at the k-th end; the zero in front is for k = 0.
    which = tf.gather(tf.cumsum(tf.cast(word_starts, tf.int32)), starts)
    ends = tf.where(
        tf.gather(is_word, starts),
        tf.gather(tf.concat([[0], word_ends], axis=0), which),
        starts + 1 + tf.cast(tf.gather(pairs, starts), tf.int64),
    )
    spans = tf.RaggedTensor.from_value_rowids(
        tf.stack([starts, ends], axis=1),
        tf.gather(characters.value_rowids(), starts),
        nrows=tf.shape(texts, tf.int64)[0],
        validate=False,
    )[:, :max_tokens]
    starts, ends = tf.unstack(spans.values, axis=1)
    places = tf.ragged.range(starts, ends)
    tokens = tf.strings.unicode_encode(
        places.with_values(tf.gather(folded, places.values)), "UTF-8"
    )
    return spans.with_values(tokens)


def _fold(characters: Any) -> tuple:
    """Returns folded code points and their kinds."""
    page_of, pages = _character_pages()
    known = tf.minimum(characters, _NUM_CHARACTERS - 1)
    page = tf.gather(page_of, known // _PAGE_SIZE)
    packed = tf.gather(pages, page * _PAGE_SIZE + known % _PAGE_SIZE)
    return characters + packed // 4, packed % 4


@functools.cache
def _character_pages() -> tuple[np.ndarray, np.ndarray]:
    """Returns the page of each 256 characters; and all pages, concatenated.

    Most pages are equal. They hold 4 * (folded code point - code point) +
    kind.
    """
    packed = np.zeros(_NUM_CHARACTERS, np.int32)
    for number in range(_NUM_CHARACTERS):
        character = chr(number)
        if unicodedata.category(character)[0] not in "LN":
            continue
        plain = unicodedata.normalize("NFKC", character)
        character = plain if len(plain) == 1 else character
        name = unicodedata.name(character, "")
        kind = _CJK if name.startswith(_CJK_NAMES) else _WORD
        # One capital letter (I with a dot) becomes two characters.
        packed[number] = 4 * (ord(character.lower()[0]) - number) + kind
    pages, page_of = np.unique(
        packed.reshape(-1, _PAGE_SIZE), axis=0, return_inverse=True
    )
    return page_of.ravel().astype(np.int32), pages.ravel()
