"""What the page of an image tower says."""

import numpy as np
import pytest

from jd_tf.evaluation.image_report import write_image_report
from jd_tf.evaluation.image_report_metrics import (
    confusion,
    share_interval,
    surest_mistakes,
    word_results,
)
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_predictions import ImagePredictions, image_metrics
from tests.images.photos import write_folder

NAMES = ("hat", "shoe", "skirt")


def _predictions(labels, answers, sure=0.8, names=NAMES):
    """Each answer has probability `sure`, the others share the rest."""
    sure = np.broadcast_to(sure, len(labels)).astype("float32")
    rest = (1 - sure) / (len(names) - 1)
    probabilities = np.repeat(rest[:, None], len(names), axis=1)
    probabilities[np.arange(len(labels)), answers] = sure
    return ImagePredictions(
        np.arange(len(labels)),
        np.array(labels),
        probabilities,
        np.zeros((len(labels), 4), "float32"),
        names,
    )


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
    found = image_metrics(
        ImagePredictions(
            np.arange(4), labels, probabilities, np.zeros((4, 2)), names
        )
    )
    assert found["top1"] == 0.25
    assert found["top5"] == 0.75
    assert found["mean_recall"] == 0.25
    expected = -np.log(np.array([22, 8, 5, 3]) / 55).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_constant_answer_earns_nothing_and_rare_words_count():
    flat = ImagePredictions(
        np.arange(3),
        np.array([0, 1, 2]),
        np.full((3, 3), 1 / 3, "float32"),
        np.zeros((3, 2)),
        NAMES,
    )
    assert image_metrics(flat)["top1"] == 0
    found = image_metrics(_predictions([0, 0, 0, 1], [0, 0, 0, 0]))
    assert found["top1"] == 0.75
    assert found["mean_recall"] == 0.5
    empty = image_metrics(_predictions(np.zeros(0, int), np.zeros(0, int)))
    assert empty["top1"] is None
    assert empty["num_images"] == 0


def test_confusion_and_words():
    predictions = _predictions([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(
        confusion(predictions), [[1, 2, 0], [1, 1, 0], [0, 1, 0]]
    )
    hat, shoe, skirt = word_results(predictions)
    assert (hat.recall, hat.precision) == (1 / 3, 1 / 2)
    assert (hat.taken_for, hat.num_taken) == ("shoe", 2)
    assert (shoe.recall, shoe.precision) == (1 / 2, 1 / 4)
    assert (skirt.recall, skirt.precision) == (0, None)


def test_the_interval_of_a_share_is_wilsons():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = share_interval(81 / 263, 263)
    assert low == pytest.approx(0.2553, abs=1e-4)
    assert high == pytest.approx(0.3662, abs=1e-4)
    assert share_interval(0.0, 20)[0] == 0
    assert share_interval(1.0, 20)[1] == 1


def test_the_surest_mistakes_come_first():
    predictions = _predictions([0, 1, 2], [1, 1, 0], [0.6, 0.9, 0.7])
    found = surest_mistakes(predictions, 5)
    assert [(place, shown, said) for place, shown, said, _ in found] == [
        (2, "skirt", "hat"),
        (0, "hat", "shoe"),
    ]
    assert found[0][3] == pytest.approx(0.7)


def test_the_page_is_whole_and_says_what_is_wrong(tmp_path):
    images = read_labelled(write_folder(tmp_path / "photos"))["test"]
    answers = images.labels.copy()
    answers[images.labels == 1] = 0
    history = [
        {"epoch": 0, "validation/top1": 0.3, "validation/loss": 1.1},
        {
            "epoch": 1,
            "top1": 0.9,
            "loss": 0.4,
            "validation/top1": 0.5,
            "validation/loss": 0.8,
        },
    ]
    path = write_image_report(
        tmp_path / "report.html",
        images,
        _predictions(images.labels, answers),
        history,
        {"backbone": '"small_cnn"'},
        ["Began from scratch <here>."],
        frozen_epochs=1,
    )
    page = path.read_text()
    assert "66.7 %" in page
    assert "shoe: only 0 of 4 recognised; 4 taken for hat." in page
    assert "Began from scratch &lt;here&gt;." in page
    assert "40.0% more often than validation images" in page
    assert page.count("data:image/jpeg;base64") == 4
    assert page.count("data:image/png;base64") == 3
    assert "http://" not in page
    assert "https://" not in page
