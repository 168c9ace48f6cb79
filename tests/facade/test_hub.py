"""What the workers announce: type, id and version, and nothing else is taken."""

from facade import hub


def test_what_is_no_announcement_is_ignored() -> None:
    assert hub.parse(b'{"type":"Task","id":"1","version":"2"}') == hub.Change("Task", "1", "2")
    for rubbish in (
        b"",
        b"[]",
        b"{}",
        b'{"type":"User","id":"1","version":"1"}',
        b'{"type":"Task","id":"../x"}',
    ):
        assert hub.parse(rubbish) is None
