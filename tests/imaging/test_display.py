import pytest

from imaging.display import Display, display


def shown(**parameters):
    return display(parameters)


def test_parameters_are_read_as_the_standard_writes_them():
    assert shown(quality="1").quality == 1
    assert shown(window="40,400").window == (40, 400, "LINEAR")
    assert shown(window="-600.5,1500,sigmoid").window == (-600.5, 1500, "SIGMOID")
    assert shown(window="0,0.5,linear-exact").window == (0, 0.5, "LINEAR_EXACT")
    assert shown(viewport="64,32").viewport == (64, 32)
    assert shown(viewport="64,32").region is None
    assert shown(viewport="64,32,10,20,-30,40").region == (10, 20, -30, 40)
    assert shown(viewport="64,32,,,30").region == (0, 0, 30, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", "0"),
        ("quality", "101"),
        ("quality", "9.5"),
        ("quality", ""),
        ("window", "40"),
        ("window", "40,400,linear,1"),
        ("window", "40,0.5"),
        ("window", "40,0,sigmoid"),
        ("window", "nan,1"),
        ("window", "1e999,1"),
        ("window", "40,400,gamma"),
        ("viewport", "64"),
        ("viewport", "0,64"),
        ("viewport", "4097,1"),
        ("viewport", "99999999999,1"),
        ("viewport", "64,64,-1,0"),
        ("viewport", "64,64,a"),
        ("viewport", "64,64,0,0,1,1,1"),
        ("annotation", "patient"),
        ("iccprofile", "srgb"),
    ],
)
def test_what_cannot_be_read_or_is_not_offered_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        shown(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("window", "1,2"), ("quality", "9"), ("viewport", "9,9,0,0")])
def test_a_thumbnail_has_a_size_only(name, value):
    assert display({"viewport": "9,9"}, thumbnail=True).viewport == (9, 9)
    assert display({}, thumbnail=True).viewport == (128, 128)
    with pytest.raises(ValueError, match=name):
        display({name: value}, thumbnail=True)


def test_a_display_comes_back_from_text_as_it_was():
    for how in (Display(), shown(window="1,2", viewport="3,4,5,6,7,8", quality="9")):
        assert Display.from_json(how.to_json()) == how
