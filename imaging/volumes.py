"""Reads a volume in a child (imaging.child): the parent, which has secrets, gets numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imaging.child import Children
    from imaging.volume import Volume


async def read_volume(children: Children, instances: Sequence[bytes]) -> Volume:
    """The volume of one series' instances. Raises GeometryError, DICOMError or ChildDiedError."""
    import numpy as np

    from imaging.volume import Volume

    reply = await children.call("volume", {}, *instances)
    about = reply.header
    return Volume(
        array=np.frombuffer(reply.parts[0], "<f4").reshape(about["shape"]).copy(),  # writable
        spacing_mm=(about["spacing_mm"][0], about["spacing_mm"][1], about["spacing_mm"][2]),
        affine=np.array(about["affine"], dtype=np.float64),
        frame_of_reference_uid=about["frame_of_reference_uid"],
        study_uid=about["study_uid"],
        series_uid=about["series_uid"],
        sop_uids=tuple(about["sop_uids"]),
        source_axes=(about["source_axes"][0], about["source_axes"][1], about["source_axes"][2]),
        source_flips=(about["source_flips"][0], about["source_flips"][1], about["source_flips"][2]),
    )


def reply(instances: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """The child's side: the array as little-endian float32, everything else of the volume as JSON."""
    from imaging.volume import volume

    found = volume(instances)
    about = {
        "shape": list(found.array.shape),
        "spacing_mm": list(found.spacing_mm),
        "affine": found.affine.tolist(),
        "frame_of_reference_uid": found.frame_of_reference_uid,
        "study_uid": found.study_uid,
        "series_uid": found.series_uid,
        "sop_uids": list(found.sop_uids),
        "source_axes": [int(axis) for axis in found.source_axes],
        "source_flips": list(found.source_flips),
    }
    return about, [found.array.astype("<f4", copy=False).tobytes()]
