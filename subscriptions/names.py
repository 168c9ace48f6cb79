"""Identifier systems and codes that the pipeline writes and looks for (design section 4)."""

MRN_SYSTEM = "urn:neuronova:mrn"
ACCESSION_SYSTEM = "urn:neuronova:accession"
STUDY_SYSTEM = "urn:dicom:uid"
"""ImagingStudy.identifier; the value is `urn:oid:<StudyInstanceUID>` (FHIR R4, ImagingStudy, notes)."""

AE_TITLE_SYSTEM = "urn:neuronova:ae-title"
ENDPOINT_SYSTEM = "urn:neuronova:endpoint"
ENDPOINT_VALUE = "dicom-web"

TASK_SYSTEM = "urn:neuronova:task"
TASK_AI = "ai-inference"
TASK_QUARANTINE = "quarantine"
TASK_AMENDMENT = "amendment-request"
RESULT_SYSTEM = "urn:neuronova:ai-result"
QUARANTINE_SYSTEM = "urn:neuronova:quarantine"
CORRECTION_SYSTEM = "urn:neuronova:correction"
OPERATOR_SYSTEM = "urn:neuronova:operator"
ACTIVITY_SYSTEM = "urn:neuronova:activity"

WAKE_CHANNEL = "ingest-wake"
"""Redis channel: something new lies in Orthanc."""

NOTIFICATION_CHANNEL = "notifications"
"""Redis channel: {type, id, version} of a change that a clinician may be told of."""

SECRET_HEADER = "X-NeuroNova-Secret"  # noqa: S105 - the header's name, not a secret
