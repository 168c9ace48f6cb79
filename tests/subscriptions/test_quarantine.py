from imaging.index import QuarantineRow
from subscriptions.quarantine import LISTED, subject, task


def _row(number: int, code: str = "unknown-patient") -> QuarantineRow:
    return QuarantineRow(
        orthanc_id=f"{number:08x}-0-0-0-0",
        study_uid="1.2",
        series_uid="1.2.3",
        sop_uid=f"1.2.3.{number}",
        digest=f"px-{number:064x}",
        code=code,
        text=f"Reason of {code}.",
        source="Practitioner/x",
    )


def test_a_task_names_uids_digests_and_reasons_and_nobody() -> None:
    made = task("1.2", [_row(2, "sex"), _row(1)])
    assert [part.get("valueString") for part in made["input"][2:]] == [
        f"1.2.3.1 px-{1:064x} unknown-patient",
        f"1.2.3.2 px-{2:064x} sex",
    ]
    assert made["statusReason"]["text"] == "Reason of sex. Reason of unknown-patient."
    assert "Practitioner/x" not in str(made)
    assert "for" not in made


def test_a_large_study_is_counted_in_full_and_listed_in_part() -> None:
    made = task("1.2", [_row(number) for number in range(LISTED + 5)])
    assert made["input"][1]["valueInteger"] == LISTED + 5
    assert len(made["input"]) == 2 + LISTED


def test_an_unreadable_file_is_known_by_orthancs_id() -> None:
    assert subject(QuarantineRow("0-1-2-3-4", "", "", "", "", "unreadable", "No DICOM.")) == "0-1-2-3-4"
