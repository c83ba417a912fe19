"""Highlights of a report, from numbers made by hand."""

from jd_tf.evaluation.report.highlights import highlights, standing


def _lead(difference, low, high):
    same = {"difference": difference, "interval": [low, high]}
    return {"auc": same, "gauc": same, "ndcg@10": same}


def _found(biased=False, **changes):
    entry = {
        "num_impressions": 1000,
        "num_positives": 200,
        "auc": 0.7,
        "calibration_ratio": 1.0,
        "lead": {},
    }
    systems = {"ours": {"click": {**entry, **changes}}}
    return highlights(systems, "ours", biased)


def _kinds(**changes):
    return [found.kind for found in _found(**changes)]


def test_losses_come_first_with_their_size():
    leads = {
        "popularity": _lead(0.05, 0.04, 0.06),
        "trees": _lead(-0.0123, -0.02, -0.01),
        "last_category": _lead(0.001, -0.01, 0.01),
    }
    worse = {"difference": -0.002, "interval": [-0.003, -0.001]}
    leads["last_category"]["gauc"] = worse
    assert _found(lead=leads) == [
        (
            "loses",
            "click: AUC -0.0123 (95 %: -0.0200 to -0.0100), "
            "GAUC of requests -0.0123 (95 %: -0.0200 to -0.0100), "
            "NDCG@10 -0.0123 (95 %: -0.0200 to -0.0100) "
            "against trees, the best rival",
        ),
        (
            "loses",
            "click: GAUC of requests -0.0020 (95 %: -0.0030 to -0.0010) "
            "against last_category",
        ),
    ]


def test_the_best_rival_is_the_one_with_the_highest_auc():
    leads = {
        "popularity": _lead(0.05, 0.04, 0.06),
        "oracle": _lead(-0.05, -0.06, -0.04),
        "trees": _lead(0.01, -0.01, 0.03),
    }
    leads["popularity"]["gauc"] = _lead(0.0, 0.0, 0.0)["auc"]
    for low, kind in ((-0.01, "level"), (0.005, "leads")):
        leads["trees"] = _lead(0.01, low, 0.03)
        leads["trees"]["gauc_user"] = {"difference": None, "interval": None}
        (found,) = _found(lead=leads)
        assert found.kind == kind
        assert found.text.startswith(f"click: AUC +0.0100 (95 %: {low:.4f}")
        assert found.text.endswith("against trees, the best rival")
        assert "users" not in found.text
    assert standing("click", {"auc": 0.7, "lead": {}}) == []


def test_an_order_worse_than_chance_is_red():
    assert _kinds(gauc=0.5, gauc_user=0.49996) == []
    (found,) = _found(gauc=0.6, gauc_user=0.49)
    assert found.kind == "loses"
    assert "GAUC of users is 0.4900; below .5" in found.text


def test_a_loss_within_requests_counts_although_auc_leads():
    leads = _lead(0.05, 0.04, 0.06)
    leads["gauc"] = {"difference": -0.02, "interval": [-0.03, -0.01]}
    (found,) = _found(lead={"trees": leads})
    assert found.kind == "loses"
    assert "GAUC of requests -0.0200" in found.text


def test_beating_the_oracle_is_suspect_and_losing_to_it_is_not_news():
    assert _kinds(lead={"oracle": _lead(0.05, 0.04, 0.06)}) == ["suspect"]
    assert _kinds(lead={"oracle": _lead(-0.05, -0.06, -0.04)}) == []


def test_undefined_differences_are_passed_over():
    none = {"difference": None, "interval": None}
    assert _kinds(lead={"trees": dict.fromkeys(_lead(0, 0, 0), none)}) == []


def test_without_intervals_the_sign_decides():
    leads = {"trees": {"auc": {"difference": -0.1, "interval": None}}}
    (found,) = _found(lead=leads)
    assert found.kind == "loses"
    assert "(no interval)" in found.text


def test_few_positives_and_bad_calibration_are_warnings():
    for positives, words in (
        (0, "undefined"),
        (1000, "undefined"),
        (12, "few"),
    ):
        (found,) = _found(num_positives=positives)
        assert found.kind == "warning"
        assert f"{positives:,} of 1,000 impressions" in found.text
        assert words in found.text
    (found,) = _found(calibration_ratio=1.5)
    assert "mean prediction over mean label is 1.50" in found.text
    (found,) = _found(calibration_ratio=0.5, biased=True)
    assert "position" in found.text
    assert _kinds(calibration_ratio=None) == []


def test_the_plain_rule_is_recommended_where_fusion_is_no_better():
    both = {"fused": {"ndcg@10": 0.6}, "expected_value": {"ndcg@10": 0.5}}
    for difference, kind, use in (
        (-1.0, "loses", "use: expected value"),
        (1.0, "leads", "use: learned weights"),
        (0.1, "level", "use: expected value, which is as good"),
    ):
        numbers = {"difference": difference, "standard_error": 0.1}
        (found,) = _found(fusion={**both, **numbers})
        assert found.kind == kind
        assert found.text.endswith(use)
    unknown = {"difference": None, "standard_error": None}
    assert _kinds(fusion={**both, **unknown}) == []


def test_what_is_too_good_to_be_true_is_red():
    (found,) = _found(auc=0.9996)
    assert found.kind == "suspect"
    assert "click: AUC is 0.9996, too good to be true" in found.text
    assert not _found(auc=0.985)
