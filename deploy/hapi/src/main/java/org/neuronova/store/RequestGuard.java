package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.RestOperationTypeEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import java.util.Set;

/**
 * Applies the allow-list to what HAPI understood a request to be, entries of a batch included.
 *
 * <p>Writes are also met by {@link WriteGuard}, which sees every changed row whatever request caused it.
 */
@Interceptor
public class RequestGuard {

    private static final Set<Caller> POST_BUNDLES =
            Set.of(Caller.FACADE, Caller.RECEIVER, Caller.WORKERS, Caller.SHIPPER, Caller.RETENTION);

    private final AllowList allowList;

    RequestGuard(AllowList allowList) {
        this.allowList = allowList;
    }

    /** Refuses what the table does not name. */
    @Hook(Pointcut.SERVER_INCOMING_REQUEST_PRE_HANDLED)
    public void check(RestOperationTypeEnum operation, RequestDetails request) {
        Caller caller = Callers.of(request);
        if (caller != null && !permitted(caller, operation, request)) {
            throw new ForbiddenOperationException("not allowed for this caller");
        }
    }

    private boolean permitted(Caller caller, RestOperationTypeEnum operation, RequestDetails request) {
        String type = request.getResourceName();
        return switch (operation) {
            case METADATA -> true;
            case READ, VREAD -> allowList.permits(caller, Interaction.READ, type);
            case SEARCH_TYPE, HISTORY_INSTANCE, HISTORY_TYPE -> allowList.permits(caller, Interaction.SEARCH, type);
            case CREATE -> allowList.permits(caller, Interaction.CREATE, type);
            // A PUT may create: the row decides, see WriteGuard.
            case UPDATE -> allowList.permits(caller, Interaction.UPDATE, type)
                    || allowList.permits(caller, Interaction.CREATE, type);
            case PATCH -> allowList.permits(caller, Interaction.UPDATE, type);
            case DELETE -> allowList.permits(caller, Interaction.DELETE, type);
            case TRANSACTION -> POST_BUNDLES.contains(caller);
            default -> false;
        };
    }
}
