"""Owns the systems and codes that inference writes into FHIR resources."""

from __future__ import annotations

from typing import Final

AI_RESULT: Final = "urn:neuronova:ai-result"
AI_ALGORITHM: Final = "urn:neuronova:ai-algorithm"
AI_FINDING: Final = "urn:neuronova:ai-finding"
TASK: Final = "urn:neuronova:task"
TASK_OUTPUT: Final = "urn:neuronova:task-output"
TASK_INPUT: Final = "urn:neuronova:task-input"
REVIEW: Final = "urn:neuronova:review"
ACTIVITY: Final = "urn:neuronova:activity"
DICOM_UID: Final = "urn:dicom:uid"
UCUM: Final = "http://unitsofmeasure.org"
SNOMED: Final = "http://snomed.info/sct"
LOINC: Final = "http://loinc.org"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
NCIT: Final = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
DIAGNOSTIC_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"

DICOM_SCHEME: Final = {SNOMED: "SCT", DCM: "DCM", NCIT: "NCIt"}
"""FHIR system to DICOM's coding scheme designator (PS3.16 table 8-1)."""
