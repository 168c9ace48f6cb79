package org.neuronova.store;

import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.api.server.SystemRequestDetails;
import ca.uhn.fhir.rest.server.servlet.ServletRequestDetails;

/** Finds the caller that {@link CallerFilter} recognised. */
final class Callers {

    private Callers() {}

    /**
     * Returns who sent the request, or null for HAPI's own work (activating a subscription, for example).
     *
     * @throws IllegalStateException for a request that came over HTTP without passing the filter
     */
    static Caller of(RequestDetails request) {
        if (request == null || request instanceof SystemRequestDetails) {
            return null;
        }
        if (request instanceof ServletRequestDetails http
                && http.getServletRequest().getAttribute(CallerFilter.ATTRIBUTE) instanceof Caller caller) {
            return caller;
        }
        throw new IllegalStateException("a request without a caller");
    }
}
