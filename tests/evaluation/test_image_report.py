"""The page of an image tower."""

import numpy as np
import pytest

from jd_tf.data.files import write_json
from jd_tf.evaluation.image_report import (
    confusions,
    report_image_run,
    share_interval,
    word_results,
)
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.predictions import ImagePredictions, image_metrics
from tests.images.photos import write_folder

NAMES = ("hat", "shoe", "skirt")


def _predictions(labels, answers, sure=0.8, names=NAMES):
    """Each answer has probability `sure`, the others share the rest."""
    sure = np.broadcast_to(sure, len(labels)).astype("float32")
    rest = (1 - sure) / (len(names) - 1)
    probabilities = np.repeat(rest[:, None], len(names), axis=1)
    probabilities[np.arange(len(labels)), answers] = sure
    return ImagePredictions(np.array(labels), probabilities, names)


def test_metrics_count_ranks():
    names = tuple("abcdefg")
    labels = np.array([0, 1, 2, 6])
    order = [
        [0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 6],
        [6, 5, 4, 3, 2, 1, 0],
        [0, 1, 2, 3, 4, 5, 6],
    ]
    probabilities = np.zeros((4, 7), "float32")
    for row, ranked in enumerate(order):
        probabilities[row, ranked] = np.array([22, 8, 7, 6, 5, 4, 3]) / 55
    found = image_metrics(ImagePredictions(labels, probabilities, names))
    assert found["top1"] == 0.25
    assert found["top5"] == 0.75
    assert found["mean_recall"] == 0.25
    expected = -np.log(np.array([22, 8, 5, 3]) / 55).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_rare_words_count_as_much_in_mean_recall():
    found = image_metrics(_predictions([0, 0, 0, 1], [0, 0, 0, 0]))
    assert found["top1"] == 0.75
    assert found["mean_recall"] == 0.5
    empty = image_metrics(_predictions(np.zeros(0, int), np.zeros(0, int)))
    assert empty["top1"] is None
    assert empty["num_images"] == 0


def test_words_and_what_they_are_taken_for_are_worst_first():
    predictions = _predictions([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 1])
    skirt, hat, shoe = word_results(predictions)
    assert (hat["recall"], hat["precision"]) == (1 / 3, 1 / 2)
    assert (shoe["recall"], shoe["precision"]) == (1 / 2, 1 / 4)
    assert (skirt["recall"], skirt["precision"]) == (0, None)
    assert (skirt["name"], hat["num_images"]) == ("skirt", 3)
    assert confusions(predictions) == [
        ("skirt", "shoe", 1, 1),
        ("hat", "shoe", 2, 3),
        ("shoe", "hat", 1, 2),
    ]


def test_the_interval_of_a_share_is_wilsons():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = share_interval(81 / 263, 263)
    assert low == pytest.approx(0.2553, abs=1e-4)
    assert high == pytest.approx(0.3662, abs=1e-4)
    assert share_interval(0.0, 20)[0] == 0
    assert share_interval(1.0, 20)[1] == 1


def test_the_page_is_whole(tmp_path):
    sets = read_labelled(write_folder(tmp_path / "photos"))
    config = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}
    tower = ImageTower(config, sets["test"].label_names)
    run = {"model": config, "training": {"frozen_epochs": 1}}
    write_json(tmp_path / "config.json", run)
    history = [
        {"epoch": epoch, "top1": 0.5, "loss": 1.0}
        | {"validation/top1": 0.4, "validation/loss": 1.2}
        for epoch in (1, 2)
    ]
    found = report_image_run(
        tmp_path, tower, sets, history, ["Began from scratch <here>."]
    )
    assert found["test"]["num_images"] == 12
    assert set(found) == {"test", "validation"}
    page = (tmp_path / "report.html").read_text()
    assert f"{100 * found['test']['top1']:.1f} %" in page
    assert "Began from scratch &lt;here&gt;." in page
    assert page.count("data:image/png;base64") == 2
    assert "http://" not in page
    assert "https://" not in page
