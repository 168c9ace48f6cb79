"""Identifier systems and codes that imaging reads and writes. Standard library only."""

from __future__ import annotations

MRN = "urn:neuronova:mrn"
ACCESSION = "urn:neuronova:accession"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
PATIENT_IDENTIFIER_SYSTEM = "urn:neuronova:patient-identifier-system"
ISSUER_OF_PATIENT_ID = "urn:neuronova:issuer-of-patient-id"
AE_TITLE = "urn:neuronova:ae-title"
DICOM_UID = "urn:dicom:uid"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SOP_CLASS_SYSTEM = "urn:ietf:rfc:3986"
AI_RESULT = "urn:neuronova:ai-result"

SEG_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
