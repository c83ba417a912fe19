"""What may explain a loss, from traces made by hand."""

from jd_tf.evaluation.reasons import reasons


def _texts(history=(), num_train_requests=None, **aucs):
    metrics = {name: {"click": {"auc": auc}} for name, auc in aucs.items()}
    found = reasons(metrics, history, num_train_requests)
    assert all(finding.kind == "why" for finding in found)
    return [finding.text for finding in found]


def _validation(*losses):
    return [
        {"step": 10 * i, "validation/loss": loss}
        for i, loss in enumerate(losses)
    ]


def test_no_trace_no_reason():
    assert _texts() == []
    assert _texts(_validation(0.5), 10**6) == []
    assert _texts(_validation(0.5, 0.3, 0.301)) == []


def test_little_data():
    (text,) = _texts(num_train_requests=300)
    assert "Only 300 requests" in text


def test_the_course_of_the_validation_loss():
    (falling,) = _texts(_validation(0.5, 0.3))
    assert "steps 0 to 10" in falling
    assert "longer training may help" in falling
    (rising,) = _texts(_validation(0.5, 0.3, 0.4))
    assert "lowest at step 10 (0.3000)" in rising
    assert "by heart" in rising


def test_the_gap_between_training_and_validation():
    def history(validation):
        return [
            {"step": 1, "loss/click": 9.0, "loss/order": 0.1},
            {"step": 2, "loss/click": 0.3, "loss/order": None},
            {"step": 2, "validation/loss/click": validation},
            {"step": 2, "validation/loss/order": 0.1},
        ]

    (wide,) = _texts(history(0.5))
    assert "training 0.4000, validation 0.6000" in wide
    assert "dropout" in wide
    (narrow,) = _texts(history(0.31))
    assert "More steps" in narrow


def test_matching_counts_that_are_strong():
    (text,) = _texts(last_category=0.7, trees=0.75)
    assert "AUC 0.7000 on click, 80% of the way" in text
    assert _texts(last_category=0.55, trees=0.75) == []
    assert _texts(last_category=None, trees=0.75) == []
    assert _texts(trees=0.75) == []
