"""Settings of the pipeline's processes, as the tests need them beside these processes."""

from collections.abc import Mapping

from imaging.settings import ImagingSettings
from subscriptions.settings import SubscriptionsSettings


def clinic_settings(variables: Mapping[str, str]) -> SubscriptionsSettings:
    """Settings of a process, from the variables that it is started with."""
    return SubscriptionsSettings.model_validate(_own(variables, "SUBSCRIPTIONS_"))


def imaging_settings(variables: Mapping[str, str]) -> ImagingSettings:
    """The same for images."""
    return ImagingSettings.model_validate(_own(variables, "IMAGING_"))


def _own(variables: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in variables.items()
        if name.startswith(prefix)
    }
