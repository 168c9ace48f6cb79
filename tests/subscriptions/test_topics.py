import pytest

from subscriptions.topics import TOPICS, is_intact, subscription

TOPIC = TOPICS["task-requested"]


def _wanted() -> dict[str, object]:
    return subscription(TOPIC, "http://127.0.0.1:8002/", "s" * 32)


def test_each_topic_has_an_endpoint_and_an_id_of_its_own() -> None:
    made = [subscription(topic, "http://r", "s") for topic in TOPICS.values()]
    assert len({resource["id"] for resource in made}) == len(TOPICS)
    assert len({resource["channel"]["endpoint"] for resource in made}) == len(TOPICS)


def test_a_notification_carries_a_payload_and_the_secret() -> None:
    channel = subscription(TOPIC, "http://127.0.0.1:8002/", "s" * 32)["channel"]
    assert channel["endpoint"] == "http://127.0.0.1:8002/hooks/task-requested"
    assert channel["payload"] == "application/fhir+json"
    assert channel["header"] == [f"X-NeuroNova-Secret: {'s' * 32}"]


def test_a_subscription_that_hapi_has_activated_is_intact() -> None:
    assert is_intact(_wanted() | {"status": "active", "meta": {"versionId": "2"}}, _wanted())


@pytest.mark.parametrize(
    "broken",
    [
        {"status": "error"},
        {"status": "off"},
        {"criteria": "Task?"},
        {"channel": subscription(TOPIC, "http://127.0.0.1:8002", "old" * 12)["channel"]},
    ],
)
def test_a_broken_one_or_one_with_an_old_secret_is_not(broken: dict[str, object]) -> None:
    assert not is_intact(_wanted() | {"status": "active"} | broken, _wanted())
