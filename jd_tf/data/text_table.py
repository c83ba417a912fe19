"""Tables of text, for people at a prompt."""

from collections.abc import Sequence


def text_table(
    rows: Sequence[Sequence[str]], num_left: int | None = None
) -> list[str]:
    """Returns a line a row, columns as wide as their widest cell.

    Args:
        rows: of as many cells each.
        num_left: first columns that are set to the left, all by default;
            the others, such as numbers, are set to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    most = len(widths) if num_left is None else num_left
    return [
        "  ".join(
            cell.ljust(width) if place < most else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
