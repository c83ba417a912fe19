"""Embeds the images of a catalogue, chunk by chunk."""

import csv
import dataclasses
import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from jd_tf.data.files import read_json, write_json, write_whole
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.images.decoding import find_broken, read_images
from jd_tf.images.image_list import Catalogue
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import DataError
from jd_tf.training.loop.stop_signals import StopSignals

_JOB_FILE = "job.json"
NO_IMAGE_SUFFIX = ".no_image.csv"
PARTS_SUFFIX = ".parts"


@dataclasses.dataclass
class EmbeddingReport:
    """What an embedding job did.

    Attributes:
        num_embedded: items that have a vector.
        num_without: items whose image is missing or broken.
        num_resumed: items done by earlier sessions.
        seconds: spent by this session, without loading the model.
        decode_seconds: of these, reading and decoding.
        signal: number of the signal that stopped it, else 0.
    """

    num_embedded: int = 0
    num_without: int = 0
    num_resumed: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    signal: int = 0

    @property
    def images_per_second(self) -> float:
        """Items of this session by its seconds."""
        done = self.num_embedded + self.num_without - self.num_resumed
        return done / max(self.seconds, 1e-9)

    @property
    def decode_share(self) -> float:
        """Share of the seconds that went into reading and decoding."""
        return self.decode_seconds / max(self.seconds, 1e-9)


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
    """Writes the vector of every item that has a readable image.

    Chunks lie in `<output>.parts/` until all are there; a job that was killed
    goes on with the chunk it was at. Items whose image is missing or broken
    are absent from the output and listed, with the reason, in
    `<output>.no_image.csv`; they never end the job.

    Args:
        tower: the model.
        catalogue: the items.
        output: the `.npz` file, see `ItemVectors`.
        meta: what the vectors come from, stored with them.
        batch_size: images a batch.
        chunk_size: items a chunk.
        num_threads: files decoded at a time.
        overwrite: replace an `output` that is there.
        progress: whether to show a bar.

    Returns:
        What was done; stopped by a signal, `output` is not there yet.

    Raises:
        DataError: if `output` is there, its parts are another job's, or no
            image at all can be read.
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise DataError(
            f"{output}: is there already. Name another file, or pass "
            "--overwrite."
        )
    parts = output.with_name(output.name + PARTS_SUFFIX)
    _open_parts(parts, catalogue, {**meta, "chunk_size": chunk_size})
    report = EmbeddingReport()
    starts = range(0, len(catalogue), chunk_size)
    files = [parts / f"{start:012d}.npz" for start in starts]
    embed = _traced(tower)
    with (
        StopSignals() as signals,
        tqdm.tqdm(
            desc="embedding",
            total=len(catalogue),
            unit="image",
            disable=not progress,
        ) as bar,
    ):
        for start, file in zip(starts, files, strict=True):
            paths = catalogue.paths[start : start + chunk_size]
            if file.is_file():
                report.num_resumed += len(paths)
                bar.update(len(paths))
                continue
            chunk = _embed(
                embed,
                tower,
                paths,
                batch_size,
                num_threads,
                report,
                signals,
                bar,
            )
            if signals.received:
                report.signal = signals.received
                return report
            buffer = io.BytesIO()
            np.savez(buffer, **chunk)
            write_whole(file, buffer.getvalue())
    _merge(catalogue, starts, files, output, meta, report)
    shutil.rmtree(parts)
    return report


def _traced(tower: ImageTower) -> Any:
    size = tower.config.image_size
    embed = tf.function(
        lambda images: tower(images, training=False)["embedding"],
        input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
        autograph=False,
    )
    # Traced before the clock runs.
    embed(tf.zeros((1, size, size, 3)))
    return embed


def _embed(
    embed: Any,
    tower: ImageTower,
    paths: tuple[str, ...],
    batch_size: int,
    num_threads: int,
    report: EmbeddingReport,
    signals: StopSignals,
    bar: tqdm.tqdm,
) -> dict[str, np.ndarray]:
    """Arrays of one chunk: `place`, `vector`, and `broken` with `reason`."""
    size = tower.config.image_size
    began = time.monotonic()
    # Decoded ahead only where the network leaves the processor free.
    ahead = 2 if tf.config.list_logical_devices("GPU") else 0
    batches = iter(read_images(paths, size, batch_size, num_threads, ahead))
    places, vectors = [np.zeros(0, np.int64)], []
    vectors.append(np.zeros((0, tower.config.embedding_dim), np.float32))
    while not signals.received:
        asked = time.monotonic()
        batch = next(batches, None)
        report.decode_seconds += time.monotonic() - asked
        if batch is None:
            break
        vectors.append(embed(batch["image"]).numpy())
        places.append(batch["place"].numpy())
        bar.update(len(places[-1]))
    place = np.concatenate(places)
    broken = {}
    if not signals.received:
        broken = find_broken(paths, size, place.tolist())
        bar.update(len(broken))
    report.seconds += time.monotonic() - began
    return {
        "place": place,
        "vector": np.concatenate(vectors),
        "broken": np.array(list(broken), np.int64),
        "reason": np.array(list(broken.values()), np.str_),
    }


def _open_parts(
    parts: Path, catalogue: Catalogue, meta: Mapping[str, Any]
) -> None:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode("utf-8"))
    for item_id, path in zip(catalogue.item_ids, catalogue.paths, strict=True):
        digest.update(f"{item_id}\0{path}\n".encode("utf-8", "surrogateescape"))
    job = {"job": digest.hexdigest()}
    file = parts / _JOB_FILE
    if file.is_file():
        if read_json(file) != job:
            raise DataError(
                f"{parts}: holds the chunks of another job (other items, "
                "model or chunk size). Remove the folder, or name another "
                "output."
            )
    else:
        write_json(file, job)


def _merge(
    catalogue: Catalogue,
    starts: range,
    files: list[Path],
    output: Path,
    meta: Mapping[str, Any],
    report: EmbeddingReport,
) -> None:
    places, vectors = [], []
    without: list[tuple[str, str, str]] = []
    for start, file in zip(starts, files, strict=True):
        with np.load(file, allow_pickle=False) as chunk:
            places.append(start + chunk["place"])
            vectors.append(chunk["vector"])
            for place, reason in zip(
                start + chunk["broken"], chunk["reason"], strict=True
            ):
                without.append(
                    (
                        str(catalogue.item_ids[place]),
                        catalogue.paths[place],
                        str(reason),
                    )
                )
    place = np.concatenate(places)
    report.num_embedded, report.num_without = len(place), len(without)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("item_id", "path", "reason"))
    writer.writerows(without)
    listed = output.with_name(output.name + NO_IMAGE_SUFFIX)
    write_whole(listed, text.getvalue().encode("utf-8", "surrogateescape"))
    if not len(place):
        raise DataError(
            f"{listed}: none of {len(without)} images can be read; the first: "
            f"{': '.join(without[0][1:])}."
        )
    ItemVectors(
        catalogue.item_ids[place],
        np.concatenate(vectors),
        {**meta, "num_without_image": len(without)},
        str(output),
    ).save(output)
