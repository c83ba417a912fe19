"""Embeds the images of a catalogue, chunk by chunk."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tqdm

from jd_tf.data.files import read_json, write_json, write_npz, write_whole
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.images.decoding import find_broken
from jd_tf.images.image_list import Catalogue
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import DataError

NO_IMAGE_SUFFIX = ".no_image.csv"


class EmbeddingReport(NamedTuple):
    """Items with and without a vector, and done by earlier sessions."""

    num_embedded: int
    num_without: int
    num_resumed: int
    seconds: float


def embed_catalogue(
    tower: ImageTower,
    catalogue: Catalogue,
    output: str | Path,
    meta: Mapping[str, Any],
    batch_size: int = 64,
    chunk_size: int = 2048,
    num_threads: int = 2,
    overwrite: bool = False,
    progress: bool = False,
) -> EmbeddingReport:
    """Writes the vector of every item with a readable image, and `meta`.

    Chunks lie in `<output>.parts/` until all are there; a job that was killed
    goes on with the chunk it was at. Items whose image is missing or broken
    are absent from the output and listed, with the reason, in
    `<output>.no_image.csv`; they never end the job. An output that is there
    (unless `overwrite`), parts of another job, and a catalogue without any
    readable image are a DataError.
    """
    output, began, num_resumed = Path(output), time.monotonic(), 0
    if output.exists() and not overwrite:
        raise DataError(
            f"{output}: is there already. Name another file, or pass "
            "--overwrite."
        )
    parts = output.with_name(output.name + ".parts")
    _open_parts(parts, catalogue, {**meta, "chunk_size": chunk_size})
    chunks = []
    starts = range(0, len(catalogue), chunk_size)
    for start in tqdm.tqdm(starts, "embedding", disable=not progress):
        file = parts / f"{start:012d}.npz"
        paths = catalogue.paths[start : start + chunk_size]
        if file.is_file():
            num_resumed += len(paths)
        else:
            batches = tower.outputs_of(paths, batch_size, num_threads)
            write_npz(file, _chunk(tower, paths, batches))
        with np.load(file) as chunk:
            place, broken = start + chunk["place"], start + chunk["broken"]
            chunks.append((place, chunk["vector"], broken, chunk["reason"]))
    place, vectors, broken, reasons = map(
        np.concatenate, zip(*chunks, strict=True)
    )
    without = pd.DataFrame({"item_id": catalogue.item_ids[broken]})
    without["path"] = [catalogue.paths[one] for one in broken]
    without["reason"] = reasons
    text = without.to_csv(index=False).encode("utf-8", "surrogateescape")
    listed = output.with_name(output.name + NO_IMAGE_SUFFIX)
    write_whole(listed, text)
    if not len(place):
        raise DataError(
            f"{listed}: none of {len(without)} images can be read; the first: "
            f"{without['path'][0]}: {without['reason'][0]}."
        )
    about = {**meta, "num_without_image": len(without)}
    ids = catalogue.item_ids[place]
    ItemVectors(ids, vectors, about, str(output)).save(output)
    shutil.rmtree(parts)
    seconds = time.monotonic() - began
    return EmbeddingReport(len(place), len(without), num_resumed, seconds)


def _chunk(
    tower: ImageTower, paths: tuple[str, ...], batches: Any
) -> dict[str, np.ndarray]:
    """Returns `place`, `vector`, and `broken` with `reason`."""
    width = tower.config.embedding_dim
    place, vectors = np.zeros(0, np.int64), np.zeros((0, width), np.float32)
    for found, outputs in batches:
        place = np.concatenate([place, found])
        vectors = np.concatenate([vectors, outputs["embedding"]])
    broken = find_broken(paths, tower.config.image_size, place)
    return {
        "place": place,
        "vector": vectors,
        "broken": np.array(list(broken), np.int64),
        "reason": np.array(list(broken.values()), np.str_),
    }


def _open_parts(
    parts: Path, catalogue: Catalogue, meta: Mapping[str, Any]
) -> None:
    """Makes the folder this job's, or checks that it is."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode("utf-8"))
    for item_id, path in zip(catalogue.item_ids, catalogue.paths, strict=True):
        digest.update(f"{item_id}\0{path}\n".encode("utf-8", "surrogateescape"))
    job, file = {"job": digest.hexdigest()}, parts / "job.json"
    if not file.is_file():
        write_json(file, job)
    elif read_json(file) != job:
        raise DataError(
            f"{parts}: holds the chunks of another job (other items, model or "
            "chunk size). Remove the folder, or name another output."
        )
