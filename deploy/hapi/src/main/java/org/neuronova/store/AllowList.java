package org.neuronova.store;

import static org.neuronova.store.Caller.FACADE;
import static org.neuronova.store.Caller.NGINX;
import static org.neuronova.store.Caller.RECEIVER;
import static org.neuronova.store.Caller.RETENTION;
import static org.neuronova.store.Caller.SHIPPER;
import static org.neuronova.store.Caller.WORKERS;
import static org.neuronova.store.Interaction.CREATE;
import static org.neuronova.store.Interaction.DELETE;
import static org.neuronova.store.Interaction.READ;
import static org.neuronova.store.Interaction.SEARCH;
import static org.neuronova.store.Interaction.UPDATE;

import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * Which caller may do what with which resource type. What is not listed is refused.
 *
 * <p>README.md shows the same table. The facade's rows are the union of what its users may do; which user may do it
 * is decided by the facade. The types of the trail and of the server's own behaviour are listed by exception.
 */
final class AllowList {

    private static final Set<String> CLINICAL = Set.of(
            "AllergyIntolerance", "Condition", "Device", "DiagnosticReport", "DocumentReference", "Encounter",
            "Endpoint", "Group", "ImagingStudy", "Location", "Medication", "MedicationAdministration",
            "MedicationDispense", "MedicationKnowledge", "MedicationRequest", "MedicationStatement", "Observation",
            "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure", "Provenance",
            "ServiceRequest", "Task");

    private final Map<Caller, Map<String, Set<Interaction>>> rights = new EnumMap<>(Caller.class);

    AllowList() {
        for (Caller caller : Set.of(FACADE, NGINX, RECEIVER, WORKERS)) {
            CLINICAL.forEach(type -> permit(caller, type, READ, SEARCH));
        }
        for (String type : Set.of("Device", "Encounter", "Group", "Location", "Organization", "Patient",
                "Practitioner", "PractitionerRole", "ServiceRequest")) {
            permit(FACADE, type, CREATE, UPDATE, DELETE);
        }
        for (String type : Set.of("AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference",
                "Medication", "MedicationAdministration", "MedicationDispense", "MedicationKnowledge",
                "MedicationRequest", "MedicationStatement", "Observation", "Procedure", "Task")) {
            permit(FACADE, type, CREATE, UPDATE);
        }
        permit(FACADE, "Provenance", CREATE);
        permit(FACADE, "AuditEvent", READ, SEARCH);

        for (String type : Set.of("Device", "DiagnosticReport", "Endpoint", "ImagingStudy", "Observation", "Task")) {
            permit(WORKERS, type, CREATE, UPDATE);
        }
        permit(WORKERS, "Provenance", CREATE);

        permit(RECEIVER, "Subscription", READ, SEARCH, CREATE, UPDATE);

        // A reference in the trail is literal only where its target exists, so the shipper may look.
        CLINICAL.forEach(type -> permit(SHIPPER, type, READ));
        permit(SHIPPER, "AuditEvent", READ, SEARCH, CREATE);
        // Reads what it exports first, and can write nothing.
        permit(RETENTION, "AuditEvent", READ, SEARCH, DELETE);
    }

    boolean permits(Caller caller, Interaction interaction, String type) {
        return rights.getOrDefault(caller, Map.of()).getOrDefault(type, Set.of()).contains(interaction);
    }

    private void permit(Caller caller, String type, Interaction first, Interaction... others) {
        rights.computeIfAbsent(caller, key -> new HashMap<>())
                .computeIfAbsent(type, key -> EnumSet.noneOf(Interaction.class))
                .addAll(EnumSet.of(first, others));
    }
}
