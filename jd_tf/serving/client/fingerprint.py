"""Tells users apart by all that is encoded of them."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_BYTES = 16


def fingerprint(
    user_id: Any, request: Mapping[str, np.ndarray], names: Iterable[str]
) -> bytes:
    """A hash of user and columns.

    Args:
        user_id: of the request, or None.
        request: checked, unpadded.
        names: the columns that count: history and context.
    """
    digest = hashlib.blake2b(digest_size=_BYTES)
    digest.update(repr(user_id).encode())
    for name in names:
        array = request[name]
        # Names and shapes keep neighbours from running into each other.
        digest.update(f"\0{name}{array.shape}".encode())
        if array.dtype == object:
            for text in array.flat:
                content = text.encode() if isinstance(text, str) else text
                digest.update(f"{len(content)}:".encode())
                digest.update(content)
        else:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
