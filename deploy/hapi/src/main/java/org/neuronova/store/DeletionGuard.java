package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.jpa.api.model.DeleteConflict;
import ca.uhn.fhir.jpa.api.model.DeleteConflictList;
import ca.uhn.fhir.jpa.model.entity.ResourceLink;
import ca.uhn.fhir.model.primitive.IdDt;
import jakarta.persistence.EntityManager;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Lets a resource be deleted although the trail points at it, and still protects it from every other reference.
 *
 * <p>HAPI looks at one referrer only, whichever the database gives first. Its own interceptor for this purpose then
 * ignores all referrers of the resource when that one is an AuditEvent, so an Encounter would lose its Patient. Here
 * the referrers that count are asked for again.
 */
@Interceptor
public class DeletionGuard {

    private static final int NAMED_REFERRERS = 5;

    private final EntityManager database;

    DeletionGuard(EntityManager database) {
        this.database = database;
    }

    /** Replaces conflicts that the trail causes by those that something else causes, if any. */
    @Hook(Pointcut.STORAGE_PRESTORAGE_DELETE_CONFLICTS)
    public void forgiveTheTrail(DeleteConflictList conflicts) {
        Set<IdDt> targets = new LinkedHashSet<>();
        for (DeleteConflict conflict : conflicts) {
            if (isTrail(conflict)) {
                targets.add(conflict.getTargetId());
            }
        }
        conflicts.removeIf(DeletionGuard::isTrail);
        targets.forEach(target -> addOtherReferrers(conflicts, target));
    }

    private void addOtherReferrers(DeleteConflictList conflicts, IdDt target) {
        // The path is part of the index on the target, the type of the source is not. A link that names a version
        // never blocks: HAPI's own query leaves it out as well.
        database.createQuery(
                        "SELECT l FROM ResourceLink l JOIN l.myTargetResource t"
                                + " WHERE t.myResourceType = :type AND t.myFhirId = :id"
                                + " AND l.myTargetResourceVersion IS NULL"
                                + " AND l.mySourcePath NOT LIKE 'AuditEvent.%' AND l.mySourcePath NOT LIKE 'Provenance.%'",
                        ResourceLink.class)
                .setParameter("type", target.getResourceType())
                .setParameter("id", target.getIdPart())
                .setMaxResults(NAMED_REFERRERS)
                .getResultList()
                .forEach(link -> {
                    IdDt source = link.getSourceResource().getIdDt();
                    if (!conflicts.isResourceIdMarkedForDeletion(source)) {
                        conflicts.add(new DeleteConflict(source, link.getSourcePath(), target));
                    }
                });
    }

    private static boolean isTrail(DeleteConflict conflict) {
        return Trail.TYPES.contains(conflict.getSourceId().getResourceType());
    }
}
