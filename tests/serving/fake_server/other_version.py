"""Another version of an exported model, without training and exporting."""

import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

_VARIABLES = Path("variables") / "variables"


def other_version(folder, target, seed=1):
    """Copies a version folder, its weights changed; published by rename.

    Args:
        folder: a version.
        target: the new one, e.g. `<base>/2`.
        seed: of the change; 0 leaves them as they are.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f"{target.name}.tmp"
    shutil.copytree(folder, aside)
    if seed:
        _change(aside / _VARIABLES, seed)
        # It lists the files of the version it came from.
        for card in aside.glob("model_card.*"):
            card.unlink()
    aside.rename(target)
    return target


def _change(prefix, seed):
    generator = np.random.default_rng(seed)
    reader = tf.train.load_checkpoint(str(prefix))
    names, tensors = [], []
    for name in sorted(reader.get_variable_to_shape_map()):
        value = reader.get_tensor(name)
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            noise = generator.normal(0, 0.2, value.shape)
            value = value + noise.astype("float32")
        names.append(name)
        tensors.append(tf.constant(value))
    for old in prefix.parent.iterdir():
        old.unlink()
    shard = f"{prefix}_temp/part-00000-of-00001"
    tf.raw_ops.SaveV2(
        prefix=shard,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=tensors,
    )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[shard], destination_prefix=str(prefix)
    )
