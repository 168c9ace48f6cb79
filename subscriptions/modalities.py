"""Keeps Orthanc's list of modalities equal to the Devices that the administrator registered.

Orthanc accepts C-ECHO and C-STORE from listed modalities only, called AE title and host checked. It forgets
the list when it is restarted, and so this compares again and again.
"""

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from imaging.orthanc import OrthancClient
from subscriptions.directory import Directory, ae_title

DEFAULT_PORT = 104
"""The port of DICOM (PS3.8 9.1.1), where a Device's url names none: we never call a modality."""

# AE: up to 16 characters of the default repertoire without control characters and backslash (PS3.5 6.2).
_AET = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16}")
_PREFIX = "nn-"
_log = logging.getLogger(__name__)


async def mirror(directory: Directory, orthanc: OrthancClient) -> None:
    """Make Orthanc know exactly the registered modalities.

    :raises HAPIError, OrthancError: one of the two did not answer
    """
    wanted = {}
    for device in await directory.modalities():
        entry = _entry(device)
        if entry is not None:
            wanted[_name(device["id"])] = entry
    present = await orthanc.modalities()
    for name, (aet, host, port) in wanted.items():
        there = present.get(name)
        if there is None or (there.get("AET"), there.get("Host"), there.get("Port")) != (aet, host, port):
            await orthanc.put_modality(name, aet, host, port)
            _log.info("modality registered in Orthanc", extra={"modality": name})
    for name in present:
        if name.startswith(_PREFIX) and name not in wanted:
            await orthanc.delete_modality(name)
            _log.info("modality removed from Orthanc", extra={"modality": name})


def _entry(device: dict[str, Any]) -> tuple[str, str, int] | None:
    """AE title, host and port of a Device; None if it does not say them properly."""
    aet = ae_title(device)
    parts = urlsplit(str(device.get("url", "")))
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        return None
    if aet is None or not _AET.fullmatch(aet) or parts.scheme != "dicom" or not parts.hostname:
        reference = f"Device/{device['id']}"
        _log.warning("a modality has no usable AE title or address", extra={"device": reference})
        return None
    return aet, parts.hostname, port


def _name(device_id: str) -> str:
    return _PREFIX + device_id.replace(".", "_")
