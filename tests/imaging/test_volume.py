import numpy as np
import pytest

from imaging.errors import GeometryError
from imaging.volume import volume
from tests.imaging.builders import mr_file, transcoded

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
UPSIDE_DOWN = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def series(orientation=AXIAL, count=4, spacing=(1.5, 2.0), gap=3.0, origin=(10.0, 20.0, 30.0), **options):
    """Slices whose every voxel holds a value of its own, and where each voxel lies (value -> LPS mm)."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    files, places = [], {}
    for index in range(count):
        position = np.array(origin) + normal * gap * index
        values = np.arange(5 * 6, dtype="<i2").reshape(5, 6) + 1000 * index
        for j in range(5):
            for i in range(6):
                places[int(values[j, i])] = position + row * spacing[1] * i + column * spacing[0] * j
        files.append(
            mr_file(
                values,
                number=index + 1,
                position=tuple(position),
                orientation=orientation,
                spacing=spacing,
                **options,
            )
        )
    return files, places


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, UPSIDE_DOWN])
def test_the_affine_leads_from_every_voxel_to_its_place(orientation):
    files, places = series(orientation)
    result = volume(files[::-1])
    for (z, y, x), value in np.ndenumerate(result.array):
        place = result.affine @ [x, y, z, 1]
        assert np.allclose(place[:3], places[int(value)], atol=1e-6)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, UPSIDE_DOWN])
def test_the_axes_run_to_the_left_to_the_back_and_to_the_head(orientation):
    result = volume(series(orientation)[0])
    assert (np.diag(result.affine[:3, :3]) > 0).all()
    assert np.allclose(result.affine[:3, :3], np.diag(result.spacing_mm[::-1]), atol=1e-6)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, UPSIDE_DOWN])
def test_the_way_back_gives_the_source_slices(orientation):
    files, _ = series(orientation)
    result = volume(files)
    back = result.in_source_order(result.array)
    assert back.shape == (4, 5, 6)
    for index, uid in enumerate(result.sop_uids):
        number = int(uid.rpartition(".")[2])
        expected = np.arange(30).reshape(5, 6) + 1000 * (number - 1)
        assert np.array_equal(back[index], expected)


def test_spacing_has_the_order_of_the_axes():
    assert volume(series(AXIAL)[0]).spacing_mm == (3.0, 1.5, 2.0)


def test_rescaling_is_applied_slice_by_slice():
    files, _ = series(RescaleSlope=2, RescaleIntercept=-10, RescaleType="US")
    result = volume(files)
    assert result.array.dtype == np.float32
    assert result.array[0, 0, 1] == 1 * 2 - 10


def test_htj2k_slices_give_the_same_volume():
    files, _ = series()
    before, after = volume(files), volume([transcoded(data).data for data in files])
    assert np.array_equal(before.array, after.array)
    assert after.same_grid(before)


def test_an_oblique_series_keeps_its_direction():
    angle = np.deg2rad(20)
    oblique = (
        float(np.cos(angle)),
        float(np.sin(angle)),
        0.0,
        float(-np.sin(angle)),
        float(np.cos(angle)),
        0.0,
    )
    files, places = series(oblique)
    result = volume(files)
    assert np.allclose((result.affine @ [3, 2, 1, 1])[:3], places[int(result.array[1, 2, 3])], atol=1e-3)


def test_grids_of_other_places_are_told_apart():
    one, other = volume(series()[0]), volume(series(origin=(10.0, 20.0, 31.0))[0])
    assert one.same_grid(volume(series()[0]))
    assert not one.same_grid(other)


def _without(files, index):
    return [data for position, data in enumerate(files) if position != index]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (lambda: _without(series(count=8)[0], 3), "missing"),
        (lambda: series()[0][:1], "at least two"),
        (lambda: [*series()[0], series()[0][0]], "same place"),
        (
            lambda: [*series()[0], mr_file(np.zeros((5, 6), "<i2"), number=9, position=(10, 20, 43.3))],
            "spacing",
        ),
        (lambda: [*series()[0], series(SAGITTAL)[0][0]], "orientations"),
        (lambda: [*series()[0], *series(series_uid="9.9")[0]], "several series"),
        (lambda: [*series()[0], *series(study_uid="9")[0]], "several studies"),
        (lambda: series(FrameOfReferenceUID=None)[0], "no frame of reference"),
        (lambda: series(PixelSpacing=None)[0], "PixelSpacing"),
        (lambda: series(ImagePositionPatient=None)[0], "ImagePositionPatient"),
        (lambda: series(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])[0], "perpendicular"),
        (lambda: [mr_file(np.zeros((2, 5, 6), "<i2"), number=n) for n in (1, 2)], "frames"),
        (lambda: [mr_file(np.zeros((5, 6, 3), "u1"), number=n) for n in (1, 2)], "colours"),
        (lambda: [mr_file(number=n, position=(0, 2.0 * n, 3.0 * n)) for n in range(1, 5)], "gantry"),
    ],
)
def test_what_is_no_regular_volume_is_refused_with_the_reason(files, reason):
    with pytest.raises(GeometryError, match=reason):
        volume(files())


def test_unequal_distances_are_refused():
    places = [0.0, 3.0, 6.0, 9.0, 13.2]
    files = [mr_file(number=n, position=(0, 0, z)) for n, z in enumerate(places, start=1)]
    with pytest.raises(GeometryError, match="unequally"):
        volume(files)
