"""What the report says in words, from numbers made by hand."""

from jd_tf.evaluation.report.highlights import find


def _lead(difference, low, high):
    same = {"difference": difference, "interval": [low, high]}
    return {"auc": same, "gauc": same, "ndcg@10": same}


def _metrics(**changes):
    entry = {
        "num_impressions": 1000,
        "num_positives": 200,
        "auc": 0.7,
        "calibration_ratio": 1.0,
        "lead": {},
    }
    return {"jd_ranker": {"click": {**entry, **changes}}}


def _kinds(metrics, **options):
    return [finding.kind for finding in find(metrics, **options)]


def test_a_loss_is_said_first_and_with_its_size():
    leads = {
        "popularity": _lead(0.05, 0.04, 0.06),
        "trees": _lead(-0.0123, -0.02, -0.01),
        "last_category": _lead(0.001, -0.01, 0.01),
    }
    found = find(_metrics(lead=leads))
    assert [f.kind for f in found] == ["loses", "level", "leads"]
    assert found[0].text == (
        "click: jd_ranker loses to trees in "
        "AUC by 0.0123 (95 % interval 0.0100 to 0.0200); in "
        "GAUC by 0.0123 (95 % interval 0.0100 to 0.0200); in "
        "NDCG@10 by 0.0123 (95 % interval 0.0100 to 0.0200)."
    )
    assert "last_category cannot be told apart" in found[1].text
    assert "popularity by 0.0500" in found[2].text


def test_a_loss_within_requests_counts_although_auc_leads():
    leads = _lead(0.05, 0.04, 0.06)
    leads["gauc"] = {"difference": -0.02, "interval": [-0.03, -0.01]}
    found = find(_metrics(lead={"trees": leads}))
    assert [f.kind for f in found] == ["loses"]
    assert "in GAUC by 0.0200" in found[0].text


def test_beating_the_oracle_is_suspect_and_losing_to_it_is_not_news():
    above = {"oracle": _lead(0.05, 0.04, 0.06)}
    below = {"oracle": _lead(-0.05, -0.06, -0.04)}
    assert _kinds(_metrics(lead=above)) == ["suspect"]
    assert _kinds(_metrics(lead=below)) == []


def test_undefined_differences_are_passed_over():
    none = {"difference": None, "interval": None}
    leads = {"trees": {"auc": none, "gauc": none, "ndcg@10": none}}
    assert _kinds(_metrics(lead=leads)) == []


def test_without_intervals_the_sign_decides_and_it_says_so():
    leads = {"trees": {"auc": {"difference": -0.1, "interval": None}}}
    (found,) = find(_metrics(lead=leads))
    assert found.kind == "loses"
    assert "(no interval)" in found.text


def test_thin_data_and_bad_calibration_are_warned_of():
    (found,) = find(_metrics(num_positives=0))
    assert "none of 1,000 impressions is positive" in found.text
    (found,) = find(_metrics(num_positives=1000))
    assert "all of 1,000" in found.text
    (found,) = find(_metrics(num_positives=12))
    assert found.kind == "warning"
    (found,) = find(_metrics(calibration_ratio=1.5))
    assert "promises more than happens" in found.text
    (found,) = find(_metrics(calibration_ratio=0.5), biased=True)
    assert "position" in found.text
    assert _kinds(_metrics(calibration_ratio=None)) == []
