"""Owns the DICOM SEG: labels as one binary segment each, on the source's slices, the same bytes for the same
result.

Sources: DICOM PS3.3 A.51 (Segmentation IOD), C.8.20 (Segmentation modules); PS3.16 CID 7159, 7162. Segments
do not overlap (viewers draw labels); regions that do are sums of segments, as the bundle's metadata says.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as DICOMCode

from inference import names
from inference.bundle import Bundle
from inference.errors import GridError
from inference.key import derived_uid
from inference.metadata import Code, Segment

SERIES_NUMBER = 9001
"""Beyond what modalities number their series with."""


@dataclass(frozen=True)
class SegmentationObject:
    """A finished SEG: the file's bytes and what refers to it."""

    data: bytes
    series_uid: str
    sop_uid: str


def dicom_seg(
    bundle: Bundle, labels: npt.NDArray[np.uint8], sources: Sequence[Dataset], key: str, created: datetime
) -> SegmentationObject | None:
    """The SEG of one result, or None when no voxel is labelled (a SEG without frames is not allowed).

    `labels` (slice, row, column) in the order of `sources`, the headers of one source series, first slice
    first (`Volume.in_source_order`). `created` must not change between two runs of the same result.
    """
    if labels.shape != (len(sources), int(sources[0].Rows), int(sources[0].Columns)):
        raise GridError()
    if not labels.any():
        return None
    own = bundle.metadata.neuronova
    present = [s for s in own.segments if bool((labels == s.label).any())]
    planes = np.stack([labels == s.label for s in present], axis=-1)
    seg = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=planes,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(bundle, n, s) for n, s in enumerate(present, start=1)],
        series_instance_uid=derived_uid(key, "seg-series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid(key, "seg-instance"),
        instance_number=1,
        manufacturer="NeuroNova",
        manufacturer_model_name=bundle.id,
        software_versions=bundle.version,
        device_serial_number=bundle.weights_sha256[:16],
        content_label="AI_SEGMENTATION",
        content_description="Not for clinical use",
        series_description=f"AI: {own.title}"[:64],
    )
    _settle(seg, key, created)
    buffer = io.BytesIO()
    seg.save_as(buffer)
    return SegmentationObject(buffer.getvalue(), str(seg.SeriesInstanceUID), str(seg.SOPInstanceUID))


def _description(bundle: Bundle, number: int, segment: Segment) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.title,
        segmented_property_category=_code(segment.category),
        segmented_property_type=_code(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=bundle.id,
            family=codes.cid7162.ArtificialIntelligence,
            version=bundle.version,
            source="NeuroNova",
            parameters={"weights_sha256": bundle.weights_sha256, "use": "not for clinical use"},
        ),
        anatomic_regions=[_code(bundle.metadata.neuronova.body_site)],
        display_color=hd.color.CIELabColor.from_rgb(*segment.rgb),
    )


def _code(code: Code) -> DICOMCode:
    return DICOMCode(code.code, names.DICOM_SCHEME[code.system], code.display)


def _settle(seg: Dataset, key: str, created: datetime) -> None:
    """Replace what highdicom takes from clock and chance, so that a second run writes the same bytes."""
    day, time = created.strftime("%Y%m%d"), created.strftime("%H%M%S.%f")
    for element in ("InstanceCreationDate", "SeriesDate", "ContentDate"):
        setattr(seg, element, day)
    for element in ("InstanceCreationTime", "SeriesTime", "ContentTime"):
        setattr(seg, element, time)
    for equipment in seg.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = day + time
    organisation = derived_uid(key, "seg-dimensions")
    for item in [*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence]:
        item.DimensionOrganizationUID = organisation
