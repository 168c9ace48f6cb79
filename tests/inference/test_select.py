"""Which series is T1, T1c, T2, FLAIR: by the bundle's rules, or a reason; never a guess."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from inference.bundle import Bundle
from inference.errors import SelectionError
from inference.select import select
from inference.series import SeriesHeader, series_header, series_headers
from inference.training.phantom import scanned
from inference.training.study import write_study

BASE = SeriesHeader(
    series_uid="1.1",
    study_uid="1.0",
    patient_id="P",
    frame_of_reference_uid="1.9",
    modality="MR",
    description="",
    protocol="",
    contrast_agent="",
    echo_time=None,
    repetition_time=None,
    inversion_time=None,
    rows=240,
    columns=240,
    slices=155,
    pixel_spacing=(1.0, 1.0),
    orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    first=(0.0, 0.0, 0.0),
    last=(0.0, 0.0, 154.0),
)


def header(uid: str, description: str, **changes: Any) -> SeriesHeader:
    return replace(BASE, series_uid=uid, description=description, **changes)


T1 = header("1.1", "AX T1", echo_time=12.0)
T1C = header("1.2", "AX T1 POST GD", echo_time=12.0, contrast_agent="Gadobutrol")
T2 = header("1.3", "AX T2 TSE", echo_time=100.0, repetition_time=4500.0)
FLAIR = header("1.4", "AX T2 FLAIR", echo_time=120.0, inversion_time=2500.0)
CHOSEN = {"T1": "1.1", "T1c": "1.2", "T2": "1.3", "FLAIR": "1.4"}


def test_four_series_fill_four_roles(demo_bundle: Bundle) -> None:
    assert select(demo_bundle, [FLAIR, T1C, T2, T1]) == CHOSEN


def test_other_series_of_the_study_are_left_alone(demo_bundle: Bundle) -> None:
    others = [
        header("1.5", "Localizer"),
        header("1.6", "ep2d DWI ADC"),
        header("1.7", "T2* GRE map"),
        header("1.8", "AX T1", modality="CT"),
        header("1.9", "AI", modality="SEG"),
    ]
    assert select(demo_bundle, [*others, T1, T1C, T2, FLAIR]) == CHOSEN


@pytest.mark.parametrize(
    ("role", "description", "tags"),
    [
        ("T1", "t1_mprage_sag_p2_iso", {}),
        ("T1", "T1W native", {}),
        ("T1", "T1 without contrast", {}),
        ("T1", "3D SPGR pre", {}),
        ("T1c", "t1_mprage_sag_p2_iso", {"contrast_agent": "Gd"}),
        ("T1c", "T1+C", {}),
        ("T1c", "T1CE", {}),
        ("T1c", "mprage post contrast", {"contrast_agent": "Gd"}),
        ("T2", "T2W_TSE_ax", {}),
        ("T2", "T2 POST", {"contrast_agent": "Gd"}),
        ("FLAIR", "t2_tirm_dark-fluid", {}),
        ("FLAIR", "3D FLAIR", {"contrast_agent": "Gd"}),
    ],
)
def test_usual_names_are_recognised(
    demo_bundle: Bundle, role: str, description: str, tags: dict[str, Any]
) -> None:
    rest = [s for r, s in zip(CHOSEN, (T1, T1C, T2, FLAIR), strict=True) if r != role]
    assert select(demo_bundle, [*rest, header("1.77", description, **tags)])[role] == "1.77"


def test_the_protocol_name_counts_too(demo_bundle: Bundle) -> None:
    assert select(demo_bundle, [T1, T1C, T2, header("1.4", "axial", protocol="Brain FLAIR")]) == CHOSEN


@pytest.mark.parametrize("missing", list(CHOSEN))
def test_three_of_four_series_are_refused_with_the_missing_one(demo_bundle: Bundle, missing: str) -> None:
    rest = [s for r, s in zip(CHOSEN, (T1, T1C, T2, FLAIR), strict=True) if r != missing]
    with pytest.raises(SelectionError, match=f"missing {missing}"):
        select(demo_bundle, rest)


def test_two_flairs_are_refused(demo_bundle: Bundle) -> None:
    with pytest.raises(SelectionError) as caught:
        select(demo_bundle, [T1, T1C, T2, FLAIR, replace(FLAIR, series_uid="1.5")])
    assert caught.value.reason == "two series match FLAIR"


def test_a_native_name_with_a_contrast_tag_is_no_t1_of_either_kind(demo_bundle: Bundle) -> None:
    with pytest.raises(SelectionError, match=r"missing T1$"):
        select(demo_bundle, [header("1.1", "T1 pre", contrast_agent="Gadobutrol"), T1C, T2, FLAIR])


def test_a_t2_with_the_times_of_a_t1_is_no_t2(demo_bundle: Bundle) -> None:
    with pytest.raises(SelectionError, match="missing T2"):
        select(demo_bundle, [T1, T1C, replace(T2, echo_time=12.0), FLAIR])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frame_of_reference_uid": "1.8"}, "frames of reference"),
        ({"study_uid": "1.0.1"}, "different studies"),
        ({"patient_id": "Q"}, "different patients"),
        ({"slices": 154}, "rows, columns or slices"),
        ({"rows": 256}, "rows, columns or slices"),
        ({"pixel_spacing": (1.05, 1.0)}, "pixel spacings"),
        ({"orientation": (0.99, 0.1, 0.0, -0.1, 0.99, 0.0)}, "oriented differently"),
        ({"first": (0.0, 0.0, 2.0)}, "different places"),
        ({"last": (0.0, 0.0, 150.0)}, "different places"),
    ],
)
def test_series_that_do_not_belong_together_are_refused(
    demo_bundle: Bundle, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SelectionError, match=reason):
        select(demo_bundle, [T1, T1C, T2, replace(FLAIR, **change)])


def test_small_differences_of_geometry_are_tolerated(demo_bundle: Bundle) -> None:
    near = replace(FLAIR, pixel_spacing=(1.0005, 1.0), first=(0.1, 0.0, 0.1), last=(0.1, 0.0, 154.1))
    assert select(demo_bundle, [T1, T1C, T2, near]) == CHOSEN


def test_series_without_a_frame_of_reference_are_refused(demo_bundle: Bundle) -> None:
    series = [replace(s, frame_of_reference_uid="") for s in (T1, T1C, T2, FLAIR)]
    with pytest.raises(SelectionError, match="no frame of reference"):
        select(demo_bundle, series)


def test_a_written_study_is_selected_from_its_dicom_json(demo_bundle: Bundle, study: Path) -> None:
    instances = [pydicom.dcmread(path) for path in sorted(study.glob("*.dcm"))]
    chosen = select(demo_bundle, series_headers(i.to_json_dict() for i in instances))
    described = {str(i.SeriesInstanceUID): str(i.SeriesDescription) for i in instances}
    assert {role: described[uid] for role, uid in chosen.items()} == {
        "T1": "AX T1 SE",
        "T1c": "AX T1 SE POST GD",
        "T2": "AX T2 TSE",
        "FLAIR": "AX T2 FLAIR",
    }


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (("t1", "t1c", "t2"), "missing FLAIR"),
        (("t1", "t1c", "t2", "flair", "flair"), "two series match FLAIR"),
    ],
)
def test_written_studies_with_too_few_or_too_many_series_are_refused(
    demo_bundle: Bundle, tmp_path: Path, roles: tuple[str, ...], reason: str
) -> None:
    write_study(
        tmp_path,
        scanned(3, (4, 16, 16)),
        patient_id="D",
        patient_name="Demo^Two",
        birth_date="19700101",
        sex="O",
        roles=roles,
    )
    instances = [pydicom.dcmread(path).to_json_dict() for path in tmp_path.glob("*.dcm")]
    with pytest.raises(SelectionError, match=reason):
        select(demo_bundle, series_headers(instances))


def test_an_instance_without_a_position_is_no_series(study: Path) -> None:
    instances = [pydicom.dcmread(path).to_json_dict() for path in sorted(study.glob("01_*.dcm"))]
    del instances[3]["00200032"]
    assert series_headers(instances) == []


@pytest.mark.parametrize("tag", ["00280010", "00280030", "00200037", "0020000D"])
def test_a_series_without_what_a_grid_needs_is_left_out(study: Path, tag: str) -> None:
    instances = [pydicom.dcmread(path).to_json_dict() for path in sorted(study.glob("0[12]_*.dcm"))]
    for instance in instances[:24]:
        del instance[tag]
    assert [h.description for h in series_headers(instances)] == ["AX T1 SE POST GD"]


def test_a_number_that_is_none_leaves_its_series_out(study: Path) -> None:
    instances = [pydicom.dcmread(path).to_json_dict() for path in sorted(study.glob("0[12]_*.dcm"))]
    instances[0]["00180081"]["Value"] = ["twelve"]
    assert [h.description for h in series_headers(instances)] == ["AX T1 SE POST GD"]


def test_header_ends_are_the_outermost_slices_in_any_order(study: Path) -> None:
    instances = [pydicom.dcmread(path) for path in sorted(study.glob("01_*.dcm"))]
    assert series_header(instances[::-1]) == series_header(instances)
    assert series_header(instances).last[2] == pytest.approx(155 / 2 - 155 / 48, abs=1e-4)
