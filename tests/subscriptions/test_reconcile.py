from datetime import UTC, datetime, timedelta
from typing import Any

from subscriptions.reconcile import OVERLAP_S, Watch

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def _resource(id_: str, version: str, at: datetime) -> dict[str, Any]:
    meta = {"versionId": version, "lastUpdated": at.isoformat()}
    return {"resourceType": "Patient", "id": id_, "meta": meta, "name": [{"family": "Demo"}]}


def test_the_first_round_reads_everything_and_later_ones_the_overlap_again() -> None:
    watch = Watch("Patient", (("active", "true"),))
    assert watch.query() == (("active", "true"),)
    watch.take(_resource("a", "1", NOON))
    since = (NOON - timedelta(seconds=OVERLAP_S)).isoformat(timespec="milliseconds")
    assert watch.query() == (("active", "true"), ("_lastUpdated", f"ge{since}"))


def test_a_row_that_became_visible_late_is_still_found() -> None:
    watch = Watch("Patient")
    watch.take(_resource("late-neighbour", "1", NOON))
    before = watch.query()[-1][1].removeprefix("ge")
    late = NOON - timedelta(milliseconds=320)  # the latest that was measured
    assert late >= datetime.fromisoformat(before)
    watch.take(_resource("late", "1", late))
    assert set(watch.open) == {"late-neighbour", "late"}
    assert watch.watermark == NOON


def test_the_same_version_is_taken_once_and_a_new_one_again() -> None:
    watch = Watch("Patient")
    watch.take(_resource("a", "1", NOON))
    watch.open.clear()
    watch.take(_resource("a", "1", NOON))
    assert watch.open == {}
    watch.take(_resource("a", "2", NOON + timedelta(seconds=1)))
    assert watch.open["a"]["meta"]["versionId"] == "2"


def test_what_is_not_done_stays_open_however_far_the_watermark_moves() -> None:
    watch = Watch("Patient")
    watch.take(_resource("a", "1", NOON))
    watch.take(_resource("b", "1", NOON + timedelta(hours=1)))
    watch.forget()
    assert "a" in watch.open
    assert set(watch.seen) == {"b"}


def test_no_content_is_kept_in_memory() -> None:
    watch = Watch("Patient")
    watch.take(_resource("a", "1", NOON))
    assert "Demo" not in str(watch.open)
