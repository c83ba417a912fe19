"""Versions of a small model, each with its own weights and right recordings."""

import json
import shutil
import tempfile
from pathlib import Path

from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.model_card import changed_files, list_files
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    Recording,
    read_recordings,
    write_recordings,
)
from jd_tf.serving.export.verification.folder_check import missing_shards
from tests.serving.exported import tiny_version
from tests.serving.fake_server.other_version import other_version

MODEL = "tiny"


def first_version(folder):
    """Copies the exported tiny ranker to `<folder>/tiny/1`."""
    return shutil.copytree(tiny_version(), Path(folder) / MODEL / "1")


def file_errors(folder):
    """Checks a version's files only, in place of `verify_export`."""
    return [*changed_files(folder), *missing_shards(folder)]


def make_version(source, target, seed=1, record=True):
    """Publishes another version, with other weights unless `seed` is 0.

    Args:
        source: a version folder.
        target: the new one.
        seed: of the change.
        record: whether its recordings are its own answers.
    """
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as aside:
        made = other_version(source, Path(aside) / "1", seed)
        for card in made.glob("model_card.*"):
            # It lists the files of the version it came from.
            card.unlink()
        if record:
            model = LoadedModel(made)
            calls = [
                Recording(
                    r.signature, r.inputs, model.call(r.signature, r.inputs)
                )
                for r in read_recordings(source / WARMUP_FILE)
            ]
            write_recordings(made / WARMUP_FILE, calls, MODEL)
        card = json.loads((Path(source) / "model_card.json").read_text())
        card["files"] = list_files(made)
        (made / "model_card.json").write_text(json.dumps(card))
        made.rename(target)
    return Path(target)


def break_version(folder):
    """Takes the variables away, like a copy that was cut off."""
    shutil.rmtree(folder / "variables")
    return folder
