"""What was read in one DICOM instance, as plain values that cross a process boundary.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imaging.identity import IdentityTags


@dataclass(frozen=True)
class Inspection:
    """One instance. `digest` is always there; `pixel_error` says why pixels could not be decoded, if so.

    `needs_pixels`: its SOP class is one of images.
    """

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    transfer_syntax: str
    orthanc_id: str
    digest: str
    file_md5: str
    size_bytes: int
    tags: IdentityTags
    has_pixels: bool = False
    needs_pixels: bool = False
    pixel_error: str = ""
    frames: int = 0
    rows: int = 0
    columns: int = 0
    instance_number: int | None = None
    modality: str = "OT"
    series_number: int | None = None
    series_description: str = ""
    study_description: str = ""
    body_part: str = ""
    laterality: str = ""
    frame_of_reference_uid: str = ""
    started: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As text for a pipe or a column."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Inspection:
        """The reverse."""
        values = json.loads(text)
        values["tags"] = IdentityTags(**values["tags"])
        return cls(**values)
