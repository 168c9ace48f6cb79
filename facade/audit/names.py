"""Code systems, codes and URLs of the audit trail, each with its source.

FHIR R4 AuditEvent (https://hl7.org/fhir/R4/auditevent.html); IHE Basic Audit Log Patterns 1.1
(https://profiles.ihe.net/ITI/BALP/); DICOM PS3.16 CID 400, 401 and 402 (audit event ids and agent roles).
"""

from __future__ import annotations

from typing import Final, NamedTuple

AUDIT_EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
RESTFUL_INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
AUDIT_ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
SECURITY_SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
PARTICIPATION_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
BALP_ENTITY_TYPE: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"

# Our own systems; a URN says that no server describes them.
NEURONOVA_EVENT: Final = "urn:neuronova:audit-event"
NEURONOVA_ROLE: Final = "urn:neuronova:role"
NEURONOVA_CLIENT: Final = "urn:neuronova:client"
NEURONOVA_PROCESS: Final = "urn:neuronova:process"
NEURONOVA_REFERENCE: Final = "urn:neuronova:reference"
DICOM_UID: Final = "urn:dicom:uid"
CHAIN_EXTENSION: Final = "urn:neuronova:audit-chain"


class Coded(NamedTuple):
    """One coding."""

    system: str
    code: str
    display: str


SOURCE_ROLE: Final = Coded(DICOM, "110153", "Source Role ID")
DESTINATION_ROLE: Final = Coded(DICOM, "110152", "Destination Role ID")
APPLICATION: Final = Coded(DICOM, "110150", "Application")
CUSTODIAN: Final = Coded(
    "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian"
)

# interaction -> code of the FHIR RESTful interaction code system (R4, complete for what the facade serves).
REST_SUBTYPE: Final = {
    "read": "read",
    "vread": "vread",
    "search": "search-type",
    "create": "create",
    "update": "update",
    "patch": "patch",
    "delete": "delete",
    "history-instance": "history-instance",
    "history-type": "history-type",
    "capabilities": "capabilities",
    "operation": "operation",
    "batch": "batch",
    "transaction": "transaction",
}

# interaction -> (code, display) of DICOM PS3.16 CID 400 "Audit Event ID".
DICOM_TYPE: Final = {
    "dicomweb-read": ("110103", "DICOM Instances Accessed"),
    "dicomweb-search": ("110112", "Query"),
    "dicom-upload": ("110104", "DICOM Instances Transferred"),
    "dicom-store": ("110104", "DICOM Instances Transferred"),
    "study-deleted": ("110105", "DICOM Study Deleted"),
    "export": ("110106", "Export"),
    "import": ("110107", "Import"),
    "login": ("110114", "User Authentication"),
    "logout": ("110114", "User Authentication"),
    "token": ("110114", "User Authentication"),
    "start": ("110100", "Application Activity"),
    "stop": ("110100", "Application Activity"),
    "alert": ("110113", "Security Alert"),
    "audit-retire": ("110101", "Audit Log Used"),
    "audit-read": ("110101", "Audit Log Used"),
}

# interaction -> (code, display) of DICOM PS3.16 CID 401 "Audit Event Type Code", where it has one.
DICOM_SUBTYPE: Final = {
    "login": ("110122", "Login"),
    "logout": ("110123", "Logout"),
    "start": ("110120", "Application Start"),
    "stop": ("110121", "Application Stop"),
}
