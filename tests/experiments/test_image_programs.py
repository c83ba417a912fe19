"""`finetune_images`, `embed_images`, `export_images` from the prompt."""

import numpy as np
import pytest

from experiments import finetune_images
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.images.image_list import LabelledImages
from tests.experiments.programs import run_program
from tests.images.photos import broken_photos, write_folder


def _error(finished):
    """The one line a refusal consists of."""
    assert finished.returncode == 2, finished.stderr
    lines = finished.stderr.splitlines()
    (line,) = [line for line in lines if line.startswith("error: ")]
    assert "Traceback" not in finished.stderr
    return line


@pytest.fixture(scope="module", name="run")
def _run_of_two_epochs(tmp_path_factory):
    """Photos, the work folder of a run on them, and what it printed."""
    root = tmp_path_factory.mktemp("a shop")
    photos = write_folder(root / "photos")
    for name, (contents, _) in broken_photos().items():
        (photos / "test" / "hat" / f"{name}.jpg").write_bytes(contents)
    finished = run_program(
        "finetune_images",
        f"--data={photos}",
        f"--workdir={root / 'run'}",
        "--backbone=small_cnn",
        "--alpha=0.25",
        "--image_size=16",
        "--batch_size=8",
        "--epochs=2",
        "--noprogress",
    )
    return photos, root / "run", finished


@pytest.mark.slow
def test_fine_tunes_and_says_how_good_it_is(run):
    _, workdir, finished = run
    assert finished.returncode == 0, finished.stderr
    assert "small_cnn has no published weights and learns from scratch" in (
        finished.stderr
    )
    *_, test, validation, report = finished.stdout.splitlines()
    assert test.startswith("test (12 images): top1 ")
    assert validation.startswith("validation (12 images): ")
    assert report == f"report: {workdir / 'report.html'}"
    page = (workdir / "report.html").read_text()
    assert "5 images could not be read and are left out." in page
    names = ("metrics.json", "config.json", "history.json")
    for name in (*names, "broken_images.csv", "best.keras", "last.keras"):
        assert (workdir / name).is_file()
    # Run again, with no flag of the model: the stored ones count.
    again = run_program(
        "finetune_images",
        f"--data={run[0]}",
        f"--workdir={workdir}",
        "--noprogress",
    )
    assert again.returncode == 0, again.stderr
    assert "going on with a run that began from scratch" in again.stderr
    assert again.stdout.splitlines()[1:] == finished.stdout.splitlines()[1:]


@pytest.mark.slow
def test_embeds_with_trained_and_with_initial_weights(run, tmp_path):
    photos, workdir, _ = run
    vectors = {}
    for weights in ("best", "initial"):
        output = tmp_path / f"{weights}.npz"
        finished = run_program(
            "embed_images",
            f"--workdir={workdir}",
            f"--catalogue={photos / 'test'}",
            f"--output={output}",
            f"--weights={weights}",
            "--noprogress",
        )
        assert finished.returncode == 0, finished.stderr
        first = finished.stdout.splitlines()[0]
        assert first.startswith("12 items embedded, 5 without image; ")
        assert "images/s" in first
        vectors[weights] = ItemVectors.load(output)
        assert vectors[weights].width == 64
        assert vectors[weights].meta["weights"] == weights
    best, initial = vectors["best"], vectors["initial"]
    np.testing.assert_array_equal(best.item_ids, initial.item_ids)
    assert np.abs(best.vectors - initial.vectors).max() > 0.1


@pytest.mark.slow
def test_refusals_are_one_line(run, tmp_path):
    photos, _, _ = run
    finished = run_program(
        "finetune_images",
        f"--data={photos}",
        f"--workdir={tmp_path}",
        "--backbone=small_cnn",
        "--image_size=16",
        "--frozen_epochs=2",
    )
    assert "`frozen_epochs` must be 0 without published" in _error(finished)
    finished = run_program(
        "embed_images",
        f"--workdir={tmp_path}",
        f"--catalogue={photos / 'test'}",
        f"--output={tmp_path / 'x.npz'}",
    )
    assert "holds no training run" in _error(finished)


@pytest.mark.parametrize(("count", "kept"), [(100, 7), (10, 7), (5, 5)])
def test_a_limit_takes_images_of_all_words(count, kept):
    labels = np.repeat(np.arange(5), count // 5)
    paths = tuple(str(place) for place in range(len(labels)))
    images = LabelledImages(paths, labels, tuple("abcde"), paths)
    some = finetune_images._spread(images, 7)
    assert len(some) == kept
    assert set(some.labels) == set(range(5))
    assert len(set(some.paths)) == kept


@pytest.mark.slow
def test_exports(run, tmp_path):
    photos, workdir, _ = run
    finished = run_program(
        "export_images",
        f"--workdir={workdir}",
        f"--output={tmp_path}",
        f"--images={photos / 'test' / 'hat' / 'test_hat_0.jpg'}",
    )
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "image_tower" / "1"
    assert finished.stdout.splitlines()[-1] == f"exported: {folder}"
