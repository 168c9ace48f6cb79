"""The SEG lies where its source lies, says what it is, and is the same bytes every time."""

import io
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from imaging.volume import volume
from inference.bundle import Bundle
from inference.errors import GridError
from inference.segmentation import SegmentationObject, dicom_seg

KEY = "ab" * 32
CREATED = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def sources(study: Path) -> list[Dataset]:
    """Headers of the T1 series, lowest slice first."""
    return [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted(study.glob("01_*.dcm"))]


def labels(shape: tuple[int, int, int] = (24, 64, 64)) -> npt.NDArray[np.uint8]:
    """Three blocks that differ along every axis, so that any flip shows."""
    found = np.zeros(shape, np.uint8)
    found[4:9, 10:20, 30:50] = 1
    found[5:8, 12:18, 32:40] = 2
    found[5:7, 12:14, 33:36] = 3
    return found


def seg(bundle: Bundle, values: npt.NDArray[np.uint8], sources: list[Dataset]) -> SegmentationObject:
    made = dicom_seg(bundle, values, sources, KEY, CREATED)
    assert made is not None
    return made


def in_patient(made: SegmentationObject) -> dict[tuple[str, str], int]:
    """Point of the patient (mm, rounded) -> segment's label, read by highdicom through the affine alone."""
    read = hd.seg.Segmentation.from_dataset(pydicom.dcmread(io.BytesIO(made.data)))
    whole = read.get_volume(combine_segments=True, relabel=False)
    return {
        tuple(np.round((whole.affine @ [*index, 1])[:3], 2).tolist()): int(whole.array[tuple(index)])
        for index in np.argwhere(whole.array > 0)
    }


def test_every_voxel_lies_where_its_source_pixel_lies(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    values = labels()
    expected = {}
    for z, row, column in np.argwhere(values > 0):
        place = np.array([float(v) for v in sources[z].ImagePositionPatient])
        spacing = [float(v) for v in sources[z].PixelSpacing]
        point = place + np.array([column * spacing[1], row * spacing[0], 0])
        expected[tuple(np.round(point, 2).tolist())] = int(values[z, row, column])
    assert in_patient(seg(demo_bundle, values, sources)) == expected


def test_slices_in_another_order_are_the_same_segmentation(
    demo_bundle: Bundle, sources: list[Dataset]
) -> None:
    values = labels()
    forward = seg(demo_bundle, values, sources)
    backward = seg(demo_bundle, values[::-1], sources[::-1])
    assert in_patient(forward) == in_patient(backward)


def test_a_sagittal_source_gets_its_labels_back_in_its_own_order(demo_bundle: Bundle, study: Path) -> None:
    sagittal = []
    for index in range(10):
        dataset = pydicom.dcmread(next(iter(sorted(study.glob("01_*.dcm")))))
        dataset.SOPInstanceUID = f"1.2.3.{index + 1}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.ImagePositionPatient = [20.0 - 3 * index, -50.0, 60.0]
        dataset.SpacingBetweenSlices = dataset.SliceThickness = 3
        pixels = np.zeros((64, 64), "<u2")
        pixels[10, 50] = index + 1
        dataset.PixelData = pixels.tobytes()
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        sagittal.append(buffer.getvalue())
    found = volume(sagittal)
    marked = (found.array > 0).astype(np.uint8)
    by_uid = {d.SOPInstanceUID: d for d in (pydicom.dcmread(io.BytesIO(s)) for s in sagittal)}
    made = seg(demo_bundle, found.in_source_order(marked), [by_uid[u] for u in found.sop_uids])
    spacing = [float(v) for v in by_uid["1.2.3.1"].PixelSpacing]
    expected = {
        (20.0 - 3 * i, round(-50 + 50 * spacing[1], 2), round(60 - 10 * spacing[0], 2)) for i in range(10)
    }
    assert set(in_patient(made)) == expected


def test_the_same_result_is_the_same_bytes(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    assert seg(demo_bundle, labels(), sources) == seg(demo_bundle, labels(), sources)


def test_another_result_is_another_instance(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    other = dicom_seg(demo_bundle, labels(), sources, "cd" * 32, CREATED)
    assert other is not None
    assert other.sop_uid != seg(demo_bundle, labels(), sources).sop_uid


def test_the_seg_names_patient_study_algorithm_and_codes(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    dataset = pydicom.dcmread(io.BytesIO(seg(demo_bundle, labels(), sources).data))
    assert dataset.SOPClassUID == SegmentationStorage
    assert dataset.SegmentationType == "BINARY"
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert dataset[keyword].value == sources[0][keyword].value
    assert dataset.ContentDescription == "Not for clinical use"
    types = [s.SegmentedPropertyTypeCodeSequence[0] for s in dataset.SegmentSequence]
    assert [(t.CodeValue, t.CodingSchemeDesignator) for t in types] == [
        ("79654002", "SCT"),
        ("6574001", "SCT"),
        ("C113842", "NCIt"),
    ]
    algorithm = dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == demo_bundle.id
    assert demo_bundle.weights_sha256 in str(algorithm.AlgorithmParameters)


def test_every_source_image_is_referenced(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    dataset = pydicom.dcmread(io.BytesIO(seg(demo_bundle, labels(), sources).data))
    series = dataset.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == sources[0].SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence} == {
        s.SOPInstanceUID for s in sources
    }


def test_nothing_found_is_no_segmentation(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    assert dicom_seg(demo_bundle, labels() * 0, sources, KEY, CREATED) is None


def test_labels_of_another_size_are_refused(demo_bundle: Bundle, sources: list[Dataset]) -> None:
    with pytest.raises(GridError):
        dicom_seg(demo_bundle, labels((23, 64, 64)), sources, KEY, CREATED)
