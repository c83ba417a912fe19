"""Small pictures inside a page."""

import base64
from pathlib import Path

import tensorflow as tf

from jd_tf.images.decoding import load_image

_QUALITY = 80


class Thumbnails:
    """Shrinks photos for a page, each once, squares as models see them.

    Args:
        size: pixels a side.

    Attributes:
        unreadable: files that gave no picture, in the order of asking.
    """

    def __init__(self, size: int = 72):
        self.size = size
        self.unreadable: list[str] = []
        self._made: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        """The photo as the `src` of an image; None where there is none."""
        if path and path not in self._made:
            self._made[path] = self._make(path)
            if self._made[path] is None:
                self.unreadable.append(path)
        return self._made.get(path)

    def _make(self, path: str) -> str | None:
        try:
            contents = Path(path).read_bytes()
            pixels = load_image(tf.constant(contents), self.size)
        except (OSError, tf.errors.OpError):
            return None
        small = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
        jpeg = tf.io.encode_jpeg(small, quality=_QUALITY).numpy()
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
