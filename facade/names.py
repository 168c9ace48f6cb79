"""Identifier and code systems that the facade reads or writes."""

from __future__ import annotations

from typing import Final

MRN: Final = "urn:neuronova:mrn"
AI_RESULT: Final = "urn:neuronova:ai-result"
TASK: Final = "urn:neuronova:task"
TASK_CODE: Final = "ai-inference"
REVIEW: Final = "urn:neuronova:review"
TASK_OUTPUT: Final = "urn:neuronova:task-output"
SNOMED: Final = "http://snomed.info/sct"
IMAGING: Final = "363679005"
CONDITION: Final = "urn:neuronova:condition"
IDEMPOTENCY: Final = "urn:neuronova:idempotency"
ACTIVITY: Final = "urn:neuronova:activity"
DICOM_UID: Final = "urn:dicom:uid"
