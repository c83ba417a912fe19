"""The served image tower: any bytes in, the live model's vectors out."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images.decoding import load_image
from jd_tf.images.image_tower import ImageTower
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import image_export
from jd_tf.serving.export.image_export import (
    ServedImageTower,
    export_image_tower,
)
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import WARMUP_FILE
from jd_tf.serving.export.verification.folder_check import count_ops, read_graph
from jd_tf.serving.export.verification.verify import main, verify
from jd_tf.serving.signature_names import (
    CLASSIFY,
    IMAGE_BYTES,
    SERVING_DEFAULT,
)
from tests.images.photos import (
    COLORS,
    broken_photos,
    encoded,
    gradient,
    odd_photos,
    photo,
)

SMALL = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}
WORDS = ("hat", "shoe", "skirt")


@pytest.fixture(scope="module", name="exported")
def _exported(tmp_path_factory):
    """A tower whose moving statistics say something, and its folder."""
    keras.utils.set_random_seed(2)
    tower = ImageTower(SMALL, WORDS)
    generator = np.random.default_rng(2)
    for _ in range(3):
        images = generator.uniform(0, 255, (8, 16, 16, 3)).astype("float32")
        tower(images, training=True)
    output = tmp_path_factory.mktemp("saved models")
    folder = export_image_tower(tower, output, metrics={"test": {"top1": 0.5}})
    return tower, folder


@pytest.fixture(scope="module", name="served")
def _served(exported):
    return LoadedModel(exported[1])


def _embed(served, *contents):
    batch = np.array(contents, object)
    return served.call(SERVING_DEFAULT, {IMAGE_BYTES: batch})


@pytest.mark.slow
def test_answers_for_every_kind_of_image_as_the_live_model(exported, served):
    tower, _ = exported
    contents = [*odd_photos().values(), photo(COLORS["shoe"], 3)]
    found = _embed(served, *contents)
    assert found["is_image"].all()
    for made, embedding in zip(contents, found["embedding"], strict=True):
        image = load_image(tf.constant(made), 16)
        # Moving statistics, as training=False has them.
        expected = tower(image[None], training=False)["embedding"][0]
        np.testing.assert_allclose(embedding, expected, atol=1e-4)


def test_classifies(exported, served):
    tower, _ = exported
    made = photo(COLORS["hat"], 5)
    batch = {IMAGE_BYTES: np.array([made, b""], object)}
    found = served.call(CLASSIFY, batch)
    logits = tower(load_image(tf.constant(made), 16)[None])["logits"]
    np.testing.assert_allclose(
        found["probabilities"][:1], tf.nn.softmax(logits), atol=1e-5
    )
    np.testing.assert_allclose(found["probabilities"][1], 1 / 3, atol=1e-6)
    np.testing.assert_array_equal(found["is_image"], [True, False])


def test_no_image_is_zeros_and_leaves_its_neighbours_alone(served):
    made = photo(COLORS["hat"])
    alone = _embed(served, made)
    found = _embed(served, b"", made, b"<html>404</html>")
    np.testing.assert_array_equal(found["is_image"], [False, True, False])
    np.testing.assert_array_equal(found["embedding"][[0, 2]], 0.0)
    np.testing.assert_allclose(
        found["embedding"][1:2], alone["embedding"], atol=1e-4
    )


@pytest.mark.parametrize("name", ["cut", "header"])
def test_an_image_damaged_inside_fails_the_call_clearly(served, name):
    contents = [photo(COLORS["hat"]), broken_photos()[name][0]]
    with pytest.raises(ExportError, match=r"(?i)jpeg") as caught:
        _embed(served, *contents)
    # What a server answers INVALID_ARGUMENT with.
    assert isinstance(caught.value.__cause__, tf.errors.InvalidArgumentError)


def test_a_photo_of_20_megapixels_is_served(served):
    large = encoded(gradient(height=3648, width=5472), "JPEG")
    small = encoded(gradient(height=228, width=342), "JPEG", quality=95)
    found = _embed(served, large, small)["embedding"]
    cosine = found[0] @ found[1] / 64
    assert cosine > 0.99


def test_the_folder_says_what_it_is(exported):
    _, folder = exported
    assert folder.name == "1"
    card = json.loads((folder / "model_card.json").read_text())
    assert card["label_names"] == list(WORDS)
    assert card["config"]["backbone"] == "small_cnn"
    assert card["metrics"] == {"test": {"top1": 0.5}}
    signature = card["signatures"][SERVING_DEFAULT]
    assert signature["inputs"] == {
        IMAGE_BYTES: {"dtype": "string", "shape": [None]}
    }
    assert signature["outputs"]["embedding"]["shape"] == [None, 64]
    assert "DecodeJpeg" in card["ops"]
    assert count_ops(read_graph(folder)) == card["ops"]
    assert card["size"]["total_bytes"] == sum(card["files"].values())
    assert "batching_params.pbtxt" in card["files"]
    names = {path.name for path in folder.rglob("*")}
    assert not any("optimizer" in name for name in names)


def test_a_folder_that_was_changed_is_refused(exported, tmp_path, capsys):
    folder = tmp_path / "1"
    shutil.copytree(exported[1], folder)
    variables = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(variables.read_bytes())
    # A weight of the embedding head; the size stays as it was.
    for place in range(0, len(content), 997):
        content[place] ^= 0x40
    variables.write_bytes(content)
    with pytest.raises(ExportError):
        verify(folder)
    assert main([str(folder)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    shutil.copytree(exported[1], tmp_path / "2")
    (tmp_path / "2" / WARMUP_FILE).unlink()
    with pytest.raises(ExportError, match="missing"):
        verify(tmp_path / "2")


@pytest.mark.slow
def test_an_export_that_differs_leaves_nothing(exported, tmp_path, monkeypatch):
    tower, _ = exported

    class Lies(ServedImageTower):
        def answer(self, signature, image_bytes):
            found = super().answer(signature, image_bytes)
            return {
                name: tensor * 1.01 if tensor.dtype == tf.float32 else tensor
                for name, tensor in found.items()
            }

    monkeypatch.setattr(image_export, "ServedImageTower", Lies)
    with pytest.raises(ExportError, match="differs by"):
        export_image_tower(tower, tmp_path)
    assert list((tmp_path / "image_tower").iterdir()) == []


@pytest.mark.slow
def test_resnet101_is_built_takes_a_step_and_exports(tmp_path):
    from jd_tf.images.fine_tuning import _compiled
    from jd_tf.images.fine_tuning_config import FineTuningConfig

    tower = ImageTower({"backbone": "resnet101", "image_size": 32}, WORDS)
    assert 42e6 < tower.count_params() < 44e6
    model = _compiled(tower, FineTuningConfig(), num_steps=1)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    kernel = tower.backbone.get_layer("conv1_conv").kernel
    before = kernel.numpy()
    loss, *_ = model.train_on_batch(images, {"logits": np.eye(3)[:2]})
    assert np.isfinite(loss)
    assert not np.array_equal(before, kernel)
    folder = export_image_tower(tower, tmp_path, [photo(COLORS["hat"])])
    found = _embed(LoadedModel(folder), photo(COLORS["shoe"]))
    assert found["embedding"].shape == (1, 64)
