"""Owns the shape of a bundle's configs/metadata.json: MONAI's fields that we rely on, and our own section.

Source: MONAI bundle specification (monai.readthedocs.io, "MONAI Bundle Specification", metadata.json), fields
of `network_data_format`. MONAI allows further keys; ours live under `neuronova` and say what DICOM and FHIR
need.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Extent = int | Annotated[str, StringConstraints(pattern=r"^(\*|[1-9][0-9]*\*n)$")]
"""One axis of spatial_shape: a number of voxels, `8*n` for multiples of 8, or `*` for any."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Format(_Model):
    """One tensor of `network_data_format`."""

    type: Literal["image", "probabilities"]
    modality: str | None = None
    num_channels: int = Field(ge=1, le=64)
    spatial_shape: tuple[Extent, Extent, Extent]
    dtype: Literal["float32"]
    value_range: tuple[float, float]
    channel_def: dict[str, Text]

    def channels(self) -> list[str]:
        """Channel names in order; KeyError when the numbering has a hole."""
        return [self.channel_def[str(i)] for i in range(self.num_channels)]

    def divisors(self) -> list[int]:
        """Per axis the number that an extent must be a multiple of."""
        return [int(e.split("*")[0] or 1) if isinstance(e, str) else e for e in self.spatial_shape]


class Inputs(_Model):
    """The network's input."""

    image: Format


class Outputs(_Model):
    """The network's output."""

    pred: Format


class DataFormat(_Model):
    """MONAI's `network_data_format`."""

    inputs: Inputs
    outputs: Outputs


class Code(_Model):
    """A coded concept; `system` is a FHIR system URI or a DICOM coding scheme designator."""

    system: Text
    code: Text
    display: Text


class Region(_Model):
    """One output channel as a measured region: its name, its FHIR code, and the labels that it consists
    of."""

    name: Text
    title: Text
    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
    labels: tuple[int, ...] = Field(min_length=1)


class Segment(_Model):
    """One label of the segmentation; labels are painted in order, each over the ones before, where its region
    is."""

    label: int = Field(ge=1, le=255)
    title: Text
    region: Text
    category: Code
    type: Code
    rgb: tuple[int, int, int]


class SeriesRule(_Model):
    """How the series of one role is recognised; see inference/select.py. Times in milliseconds, from and
    to."""

    words_any: tuple[Text, ...] = Field(min_length=1)
    words_none: tuple[Text, ...] = ()
    contrast: bool | None = None
    echo_time: tuple[float, float] | None = None
    repetition_time: tuple[float, float] | None = None
    inversion_time: tuple[float, float] | None = None


class Geometry(_Model):
    """What the series of one study may differ by."""

    position_mm: float = Field(default=0.5, gt=0)
    spacing_fraction: float = Field(default=0.01, gt=0)
    orientation: float = Field(default=0.001, gt=0, le=0.1)


class Own(_Model):
    """The section `neuronova`: everything MONAI has no field for."""

    bundle_id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    title: Text
    clinical_use: Literal[False]
    licence: Literal["Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0"]
    weights: Literal["models/model.pt"] = "models/model.pt"
    weights_sha256: Sha256
    spacing_mm: tuple[float, float, float]
    orientation: Literal["RAS"]
    modality: Literal["MR"]
    body_site: Code
    geometry: Geometry = Geometry()
    contrast_words: tuple[Text, ...] = ()
    native_words: tuple[Text, ...] = ()
    series: dict[str, SeriesRule] = Field(min_length=1)
    regions: tuple[Region, ...] = Field(min_length=1)
    segments: tuple[Segment, ...] = Field(min_length=1)


class Metadata(_Model):
    """configs/metadata.json as far as the product reads it."""

    name: Text
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    monai_version: Text
    pytorch_version: Text
    task: Text
    description: Text
    authors: Text
    copyright: Text
    intended_use: Text
    network_data_format: DataFormat
    neuronova: Own


def violations(metadata: Metadata) -> list[str]:
    """What the single fields cannot show: that the parts agree with each other."""
    found: list[str] = []
    own, formats = metadata.neuronova, metadata.network_data_format
    for label, part in (("inputs.image", formats.inputs.image), ("outputs.pred", formats.outputs.pred)):
        if set(part.channel_def) != {str(i) for i in range(part.num_channels)}:
            found.append(f"{label}.channel_def does not name channels 0 to {part.num_channels - 1}")
        if part.value_range[0] >= part.value_range[1]:
            found.append(f"{label}.value_range is not an ascending pair")
    if formats.inputs.image.type != "image":
        found.append("inputs.image.type is not image")
    if formats.inputs.image.modality != own.modality:
        found.append(f"inputs.image.modality is {formats.inputs.image.modality}, not {own.modality}")
    if formats.outputs.pred.value_range != (0.0, 1.0):
        found.append("outputs.pred.value_range is not 0 to 1: probabilities are needed for the confidence")
    if set(own.series) != set(formats.inputs.image.channel_def.values()):
        found.append("neuronova.series does not have one rule per input channel")
    regions = [r.name for r in own.regions]
    if regions != [
        formats.outputs.pred.channel_def.get(str(i)) for i in range(formats.outputs.pred.num_channels)
    ]:
        found.append("neuronova.regions are not the output channels in order")
    if [s.label for s in own.segments] != list(range(1, len(own.segments) + 1)):
        found.append("neuronova.segments are not numbered 1, 2, 3 ...")
    if {label for r in own.regions for label in r.labels} - {s.label for s in own.segments}:
        found.append("neuronova.regions name a label that is no segment")
    if {s.region for s in own.segments} - set(regions):
        found.append("neuronova.segments name a region that is no output channel")
    if "not for clinical use" not in metadata.intended_use.lower():
        found.append("intended_use does not say: not for clinical use")
    return found
