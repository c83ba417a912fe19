"""Words of the simulated shop: products, brands, colours, patterns."""

import numpy as np

CATEGORY_WORDS = (
    *("shirt", "kettle", "lamp", "sneaker", "backpack", "watch", "mug"),
    *("chair", "umbrella", "camera", "guitar", "bottle", "hat", "phone"),
    *("vase", "ball", "sofa", "headphones", "glasses", "skirt", "fan"),
    *("racket", "kite", "clock"),
)
# Along the hue circle, from angle 0, in equal sectors.
COLOUR_WORDS = (
    *("red", "orange", "yellow", "lime", "green", "teal"),
    *("cyan", "azure", "blue", "violet", "magenta", "rose"),
)
TONE_WORDS = ("dark", "muted", "bright", "pastel")
PATTERN_WORDS = ("plain", "striped", "dotted", "checked")

_SYLLABLES = [onset + vowel for onset in "bdfklmnprstvz" for vowel in "aeiou"]


def brand_name(number: int) -> str:
    """Returns a pronounceable name, unique among numbers below 274,625."""
    # A stride coprime to 65 ** 3 keeps neighbours from sounding alike.
    code = (number * 48_611 + 7_919) % len(_SYLLABLES) ** 3
    parts = []
    for _ in range(3):
        code, syllable = divmod(code, len(_SYLLABLES))
        parts.append(_SYLLABLES[syllable])
    return "".join(parts).capitalize()


def style_words(style: np.ndarray) -> tuple[str, str, str]:
    """Describes a (4,) style vector by tone, colour and pattern."""
    turn = np.arctan2(style[1], style[0]) / (2 * np.pi) % 1.0
    colour = COLOUR_WORDS[int(turn * len(COLOUR_WORDS)) % len(COLOUR_WORDS)]
    tone = TONE_WORDS[int(np.digitize(style[2], (-0.7, 0.0, 0.7)))]
    return tone, colour, pattern_word(style[3])


def pattern_word(value: float) -> str:
    """Returns the pattern that a style's fourth component stands for."""
    return PATTERN_WORDS[int(np.digitize(value, (-0.7, 0.0, 0.7)))]
