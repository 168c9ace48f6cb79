"""JSON Patch, applied here on the version that was read, so that the old and the new one are both checked.

Operations are applied one by one: a few `copy` operations can double a document over and over, so size and
depth are looked at after each `copy` and at the end.
Sources: RFC 6902; FHIR R4 http.html#patch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from facade import exact
from facade.errors import BadRequestError, BodyTooLargeError, InvalidResourceError

MEDIA_TYPE = "application/json-patch+json"
MOST_OPERATIONS = 100
_NAMES = frozenset({"add", "remove", "replace", "move", "copy", "test"})
_LONGEST_POINTER = 500

Patch = list[dict[str, Any]]


def read(text: bytes) -> Patch:
    """Read a patch document; what is not one is a BadRequestError."""
    operations = exact.values_strict(text)
    if not isinstance(operations, list) or not operations or len(operations) > MOST_OPERATIONS:
        raise BadRequestError(f"a patch has 1 to {MOST_OPERATIONS} operations")
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in _NAMES:
            raise BadRequestError("an operation of the patch cannot be read")
        for name in ("path", "from"):
            if (
                not isinstance(operation.get(name, ""), str)
                or len(operation.get(name, "")) > _LONGEST_POINTER
            ):
                raise BadRequestError("a pointer of the patch cannot be read")
    return operations


def apply(patch: Patch, resource: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return the patched resource; a patch that does not fit is an InvalidResourceError."""
    body: Any = copy.deepcopy(dict(resource))
    for index, operation in enumerate(patch):
        try:
            body = jsonpatch.JsonPatch([operation]).apply(body, in_place=True)
        except (
            jsonpatch.JsonPatchException, JsonPointerException, TypeError, ValueError, LookupError,
            AttributeError, RecursionError,
        ):  # fmt: skip
            # The library's words quote values of the stored resource.
            raise InvalidResourceError(f"operation {index + 1} of the patch does not fit") from None
        if operation["op"] == "copy" or index == len(patch) - 1:
            if exact.depth(body) > exact.DEEPEST:
                raise BadRequestError("the patched resource is too deep")
            if len(exact.dumps(body)) > limit:
                raise BodyTooLargeError()
    if not isinstance(body, dict) or (body.get("resourceType"), body.get("id")) != (
        resource.get("resourceType"),
        resource.get("id"),
    ):
        raise InvalidResourceError("a patch changes neither type nor id")
    return body
