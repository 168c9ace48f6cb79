package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.api.model.ExpungeOptions;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.api.server.SystemRequestDetails;

/**
 * Removes deleted AuditEvents for good, before their deletion is answered: HAPI keeps the versions of what is deleted.
 *
 * <p>Only {@link Caller#RETENTION} may delete one, so whatever is deleted has been kept long enough.
 */
@Interceptor
public class Retention {

    private static final int MOST_AT_ONCE = 1000;

    private final DaoRegistry daos;

    Retention(DaoRegistry daos) {
        this.daos = daos;
    }

    @Hook(Pointcut.SERVER_OUTGOING_RESPONSE)
    public void answered(RequestDetails request) {
        if (Callers.of(request) != Caller.RETENTION || "GET".equals(request.getRequestType().name())) {
            return;
        }
        ExpungeOptions options = new ExpungeOptions().setExpungeDeletedResources(true).setLimit(MOST_AT_ONCE);
        Trail.retiring(true);
        try {
            daos.getResourceDao("AuditEvent").expunge(options, new SystemRequestDetails());
        } finally {
            Trail.retiring(false);
        }
    }
}
