"""Small made-up timelines, for the tests of what reads them."""

import json
from pathlib import Path

import numpy as np

NUM_ITEMS = 150


def timelines(num_users: int = 60, seed: int = 0) -> dict[str, list[int]]:
    """User -> items, oldest first, each once; 4 to 12 of `NUM_ITEMS`."""
    generator = np.random.default_rng(seed)
    weight = np.arange(1, NUM_ITEMS + 1) ** -0.5
    return {
        f"u{number}": generator.choice(
            np.arange(1, NUM_ITEMS + 1),
            int(generator.integers(4, 13)),
            replace=False,
            p=weight / weight.sum(),
        ).tolist()
        for number in range(num_users)
    }


def write_timelines(
    folder: Path,
    users: dict[str, list[int]],
    name: str = "Tiny",
    num_negatives: int = 9,
    attributes: bool = True,
) -> Path:
    """Writes text, negatives (0: none) and attributes of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt"
    lines = [" ".join(map(str, (u, *items))) for u, items in users.items()]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if num_negatives:
        generator = np.random.default_rng(7)
        everything = np.unique(np.concatenate(list(users.values())))
        drawn = [
            generator.choice(
                np.setdiff1d(everything, items), num_negatives, replace=False
            )
            for items in users.values()
        ]
        np.savez(
            folder / f"{name}_negatives.npz",
            negatives=np.array(drawn, np.uint16),
        )
    if attributes:
        of_items = {
            str(item): [1 + item % 5, 6 + item % 3, 9][: 1 + item % 3]
            for items in users.values()
            for item in items
        }
        text = json.dumps(of_items)
        (folder / f"{name}_item2attributes.json").write_text(text)
    return path
