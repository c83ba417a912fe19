"""Small photos for tests: plain ones that show a word, and odd ones."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

COLORS = {"hat": (200, 60, 50), "shoe": (40, 160, 70), "skirt": (60, 70, 210)}


def photo(color, seed=0, height=24, width=20):
    """A noisy photo of one colour, as JPEG bytes."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 25, (height, width, 3))
    pixels = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
    return tf.io.encode_jpeg(pixels, quality=95).numpy()


def pixels_of(contents):
    """Returns the pixels of an image by Pillow, in RGB on white."""
    image = Image.open(io.BytesIO(contents))
    if "A" in image.getbands():
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def encoded(image, kind, **options):
    """A Pillow image as bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(mode="RGB", height=40, width=56):
    """A smooth image that JPEG keeps nearly as it is."""
    rows = np.linspace(0, 255, height)[:, None] * np.ones(width)
    columns = np.linspace(255, 0, width)[None] * np.ones((height, 1))
    pixels = np.stack([rows, columns, rows / 2 + 60], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def odd_photos():
    """Name -> bytes of images that are readable but unusual."""
    alpha = gradient("RGBA")
    alpha.putalpha(gradient("L"))
    return {
        "grey": encoded(gradient("L"), "JPEG", quality=95),
        "cmyk": encoded(gradient("CMYK"), "JPEG", quality=95),
        "alpha": encoded(alpha, "PNG"),
        "palette": encoded(gradient("P"), "PNG"),
        "gif": encoded(gradient("P"), "GIF"),
        "bmp": encoded(gradient(), "BMP"),
        "progressive": encoded(gradient(), "JPEG", progressive=True),
    }


def broken_photos():
    """Name -> bytes that are no image, with the reason we should hear."""
    whole = photo(COLORS["hat"], height=80, width=80)
    return {
        "zero": (b"", "empty file"),
        "text": (b"<html>404 not found</html>", "neither JPEG"),
        "cut": (whole[: len(whole) // 2], "cannot be decoded"),
        "header": (b"\xff\xd8\xff" + b"\x00" * 50, "cannot be decoded"),
        "webp": (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "neither JPEG"),
    }


def write_folder(root, per_split=None, words=tuple(COLORS)):
    """A folder of splits and words, as a user would have it."""
    per_split = per_split or {"train": 8, "validation": 4, "test": 4}
    seed = 0
    for split, count in per_split.items():
        for word in words:
            folder = root / split / word
            folder.mkdir(parents=True)
            for number in range(count):
                seed += 1
                content = photo(COLORS[word], seed)
                (folder / f"{split}_{word}_{number}.jpg").write_bytes(content)
    return root
