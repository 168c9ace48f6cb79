"""The same inputs are the same result; anything that may change the answer is another."""

from dataclasses import replace

from inference.bundle import Bundle
from inference.key import derived_uid, result_key

INSTANCES = [("1.2.1", "aa"), ("1.2.2", "bb")]


def test_order_of_instances_does_not_matter(demo_bundle: Bundle) -> None:
    assert result_key(demo_bundle, "1.2", INSTANCES) == result_key(demo_bundle, "1.2", reversed(INSTANCES))


def test_whatever_may_change_the_answer_changes_the_key(demo_bundle: Bundle) -> None:
    keys = {
        result_key(demo_bundle, "1.2", INSTANCES),
        result_key(demo_bundle, "1.3", INSTANCES),
        result_key(demo_bundle, "1.2", INSTANCES[:1]),
        result_key(demo_bundle, "1.2", [("1.2.1", "aa"), ("1.2.2", "cc")]),
        result_key(demo_bundle, "1.2", [("1.2.1", "bb"), ("1.2.2", "aa")]),
        result_key(demo_bundle, "1.2", INSTANCES, correction="a"),
        result_key(demo_bundle, "1.2", INSTANCES, correction="b"),
        result_key(replace(demo_bundle, id="other"), "1.2", INSTANCES),
        result_key(replace(demo_bundle, weights_sha256="0" * 64), "1.2", INSTANCES),
        result_key(replace(demo_bundle, configuration_sha256="0" * 64), "1.2", INSTANCES),
    }
    assert len(keys) == 10


def test_uids_follow_from_the_key_and_fit_dicom() -> None:
    assert derived_uid("k", "seg-series") == derived_uid("k", "seg-series")
    assert (
        len(
            {derived_uid("k", "seg-series"), derived_uid("k", "seg-instance"), derived_uid("l", "seg-series")}
        )
        == 3
    )
    assert len(derived_uid("k", "seg-series")) <= 64
