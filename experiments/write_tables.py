"""Puts the zoo's table on pages, between their markers.

    python -m experiments.write_tables --card=runs/zoo/card.json \
        --pages=README.md,docs/models.md

Replaces what stands between `<!-- zoo: begin -->` and `<!-- zoo: end -->` by
all of the card, and by a row a model where a page says `zoo in short`, so that
no figure is typed by hand.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_CARD = flags.DEFINE_string(
    "card", None, "`card.json` of benchmarks.zoo.", required=True
)
_PAGES = flags.DEFINE_list(
    "pages", ["README.md", "docs/models.md"], "Markdown files."
)


def main(_: object) -> None:
    """Reads the card and rewrites the pages."""
    # Late, so that --help does not wait for TensorFlow.
    from experiments.zoo_card import (
        card_in_short,
        card_markdown,
        write_between_markers,
    )
    from jd_tf.data.files import read_json

    path = Path(_CARD.value)
    if not path.is_file():
        raise DataError(
            f"--card={path}: no such file. `benchmarks.zoo` writes card.json."
        )
    card = read_json(path)
    try:
        texts = card_markdown(card), card_in_short(card)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{_CARD.value}: is no card of benchmarks.zoo: {error!r}."
        ) from error
    for page in _PAGES.value:
        write_between_markers(Path(page), texts)
        print(f"wrote {page}")


if __name__ == "__main__":
    program.run(main)
