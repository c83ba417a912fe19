"""The words of the simulated shop: products, brands, colours, patterns."""

import numpy as np

CATEGORY_WORDS = (
    "shirt",
    "kettle",
    "lamp",
    "sneaker",
    "backpack",
    "watch",
    "mug",
    "chair",
    "umbrella",
    "camera",
    "guitar",
    "bottle",
    "hat",
    "phone",
    "vase",
    "ball",
    "sofa",
    "headphones",
    "glasses",
    "skirt",
    "fan",
    "racket",
    "kite",
    "clock",
)

# Along the hue circle, from angle 0, in equal sectors.
COLOUR_WORDS = (
    "red",
    "orange",
    "yellow",
    "lime",
    "green",
    "teal",
    "cyan",
    "azure",
    "blue",
    "violet",
    "magenta",
    "rose",
)
TONE_WORDS = ("dark", "muted", "bright", "pastel")
PATTERN_WORDS = ("plain", "striped", "dotted", "checked")

_ONSETS = ("b", "d", "f", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")


def brand_name(number: int) -> str:
    """A pronounceable name, another one for every number below 274,625."""
    syllables = [o + v for o in _ONSETS for v in _VOWELS]
    # A stride coprime to 65 ** 3 keeps neighbours from sounding alike.
    code = (number * 48_611 + 7_919) % len(syllables) ** 3
    parts = []
    for _ in range(3):
        code, syllable = divmod(code, len(syllables))
        parts.append(syllables[syllable])
    return "".join(parts).capitalize()


def style_words(style: np.ndarray) -> tuple[str, str, str]:
    """Tone, colour and pattern of a style vector in words.

    Args:
        style: (4,) float: hue vector (two), tone, pattern.
    """
    turn = np.arctan2(style[1], style[0]) / (2 * np.pi) % 1.0
    colour = COLOUR_WORDS[int(turn * len(COLOUR_WORDS)) % len(COLOUR_WORDS)]
    tone = TONE_WORDS[int(np.digitize(style[2], (-0.7, 0.0, 0.7)))]
    pattern = PATTERN_WORDS[pattern_kind(style[3])]
    return tone, colour, pattern


def pattern_kind(value: float) -> int:
    """Which of the patterns a style's fourth component stands for."""
    return int(np.digitize(value, (-0.7, 0.0, 0.7)))
