"""One stored frame as a picture. Runs in a child without secrets (imaging.child).

Only that frame and the header are here, so that memory follows the size of a frame, never of a file. Grey
values go through modality LUT, VOI LUT and presentation in this order, by a table over the values that occur.
Sources: PS3.3 C.11.1, C.11.2, C.7.6.3.1.2, C.7.6.16.2.10; PS3.4 N.2 (the order); PS3.18 8.3.5.1.
"""

from __future__ import annotations

import json
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi,
    apply_windowing,
    convert_color_space,
)

from imaging import pixels
from imaging.display import MOST_PIXELS, Display
from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE, NATIVE_LE

_FORMAT = {"image/jpeg": "JPEG", "image/png": "PNG"}
_TABLE_VALUES = 1 << 20


def one_frame(metadata: bytes, transfer_syntax: str, encoded: bytes) -> Dataset:
    """The header with the bytes of one stored frame as its pixel data."""
    dataset = Dataset.from_json(json.loads(metadata))
    syntax = EXPLICIT_LE if transfer_syntax in NATIVE_LE else transfer_syntax
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    dataset.NumberOfFrames = 1
    if int(dataset.Rows) * int(dataset.Columns) > MOST_PIXELS:
        raise CodecError("The frame is too large to be shown.")
    if syntax == EXPLICIT_LE:
        dataset.add_new("PixelData", "OW" if dataset.BitsAllocated > 8 else "OB", encoded)
        return dataset
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(keyword, None)
    dataset.add_new("PixelData", "OB", encapsulate([encoded]))
    dataset["PixelData"].is_undefined_length = True
    return dataset


def native(dataset: Dataset) -> bytes:
    """The frame as Explicit VR Little Endian holds it."""
    ((frame, _),) = pixels.frames(dataset)
    return frame.tobytes()


def render(dataset: Dataset, number: int, how: Display) -> bytes:
    """The frame as a JPEG or PNG. `number` (from 1) chooses the frame's own window in an enhanced image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of each odd value; what cannot be shown raises
        ((frame, colour),) = pixels.frames(dataset)
        try:
            picture = Image.fromarray(_shown(frame, colour, dataset, number, how))
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(f"The frame cannot be shown ({type(error).__name__}).") from error
    out = BytesIO()
    _placed(picture, how).save(out, _FORMAT[how.media_type], quality=how.quality)
    return out.getvalue()


def _shown(
    frame: NDArray[Any], colour: str, dataset: Dataset, number: int, how: Display
) -> NDArray[np.uint8]:
    if colour in ("MONOCHROME1", "MONOCHROME2"):
        return _grey(frame, dataset, _view(dataset, number), colour, how)
    if colour == "PALETTE COLOR":
        return _eight_bits(apply_color_lut(frame, dataset), 16)
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise CodecError("Neither grey nor three colours.")
    if colour.startswith("YBR_FULL"):
        frame = convert_color_space(frame, colour, "RGB")
    elif colour != "RGB":
        raise CodecError("The colour space is not shown.")
    return _eight_bits(frame, int(dataset.BitsStored))


def _eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    wide = values.dtype.itemsize * 8 > 8
    return np.ascontiguousarray(values >> max(0, bits - 8) if wide else values).astype(np.uint8)


def _view(dataset: Dataset, number: int) -> Dataset:
    """Rescale and window of this frame: of the functional groups if there are any, else of the data set."""
    view = Dataset()
    groups: list[Dataset] = [dataset, *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    groups += per_frame[number - 1 : number]
    for group in groups:
        for item in (
            group,
            *(group.get("PixelValueTransformationSequence") or []),
            *(group.get("FrameVOILUTSequence") or []),
        ):
            for keyword in (
                *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
                *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
            ):
                if item.get(keyword) not in (None, ""):
                    view[keyword] = item[keyword]
    view.PixelRepresentation = dataset.PixelRepresentation
    view.BitsStored, view.BitsAllocated = dataset.BitsStored, dataset.BitsAllocated
    return view


def _grey(
    frame: NDArray[Any], dataset: Dataset, view: Dataset, colour: str, how: Display
) -> NDArray[np.uint8]:
    low, high = int(frame.min()), int(frame.max())
    if high - low >= _TABLE_VALUES:
        raise CodecError("The range of values is too wide to be shown.")
    table = apply_modality_lut(np.arange(low, high + 1, dtype=np.int32), view)
    shown = _windowed(table, view, how)
    # INVERSE is what MONOCHROME1 says already (C.11.6.1.2): both together turn the greys once.
    inverse = colour == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    grey = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    turned: NDArray[np.uint8] = (255 - grey) if inverse else grey
    return np.asarray(turned[frame.astype(np.int64, copy=False) - low], np.uint8)


def _windowed(values: NDArray[Any], view: Dataset, how: Display) -> NDArray[np.float64]:
    """Grey 0 to 255 of values after the modality LUT."""
    if how.window is None and view.get("VOILUTSequence"):
        bits = int(view.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(np.rint(values).astype(np.int32), view)
        return np.asarray(looked_up, np.float64) * (255 / ((1 << bits) - 1))
    if how.window is not None:
        centre, width, function = how.window
    elif "WindowCenter" in view and "WindowWidth" in view:
        centre, width = (_first(view[keyword].value) for keyword in ("WindowCenter", "WindowWidth"))
        function = str(view.get("VOILUTFunction") or "LINEAR")
    else:
        low, high = float(values.min()), float(values.max())
        scale = 255 / (high - low) if high > low else 0.0
        return np.asarray((values - low) * scale, np.float64)
    eight = Dataset()  # whose own range is that of the picture
    eight.PhotometricInterpretation, eight.PixelRepresentation, eight.BitsStored = "MONOCHROME2", 0, 8
    eight.WindowCenter, eight.WindowWidth, eight.VOILUTFunction = centre, width, function
    return np.asarray(apply_windowing(values, eight), np.float64)


def _first(value: Any) -> float:
    return float(value if isinstance(value, int | float | str) else value[0])


def _placed(picture: Image.Image, how: Display) -> Image.Image:
    """The region, scaled to fit into the viewport with its proportions (8.3.5.1.3)."""
    if how.region is not None:
        x, y, width, height = how.region
        right = min(picture.width, x + abs(width) if width else picture.width)
        lower = min(picture.height, y + abs(height) if height else picture.height)
        if right - x < 1 or lower - y < 1:
            raise CodecError("The region lies outside the image.")
        picture = picture.crop((int(x), int(y), int(right), int(lower)))
        picture = ImageOps.mirror(picture) if width < 0 else picture
        picture = ImageOps.flip(picture) if height < 0 else picture
    if how.viewport is not None:
        scale = min(how.viewport[0] / picture.width, how.viewport[1] / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    return picture
