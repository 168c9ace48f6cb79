package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import ca.uhn.fhir.rest.server.exceptions.UnprocessableEntityException;
import java.util.regex.Pattern;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.AuditEvent;
import org.hl7.fhir.r4.model.Meta;
import org.hl7.fhir.r4.model.Subscription;

/**
 * Applies the allow-list to every row that is about to be written, whatever request, transaction entry, patch or
 * match URL it came from.
 */
@Interceptor
public class WriteGuard {

    private static final Pattern TRAIL_CRITERIA = Pattern.compile("^\\s*AuditEvent\\b");

    private final AllowList allowList;

    WriteGuard(AllowList allowList) {
        this.allowList = allowList;
    }

    @Hook(Pointcut.STORAGE_PRESTORAGE_RESOURCE_CREATED)
    public void created(IBaseResource resource, RequestDetails request) {
        check(request, Interaction.CREATE, resource);
    }

    /** An AuditEvent never changes; the same one sent again is the shipper repeating itself after a crash. */
    @Hook(Pointcut.STORAGE_PRESTORAGE_RESOURCE_UPDATED)
    public void updated(IBaseResource before, IBaseResource after, RequestDetails request) {
        if (after instanceof AuditEvent sent && before instanceof AuditEvent stored && sameEvent(stored, sent)) {
            check(request, Interaction.CREATE, after);
        } else {
            check(request, Interaction.UPDATE, after);
        }
    }

    @Hook(Pointcut.STORAGE_PRESTORAGE_RESOURCE_DELETED)
    public void deleted(IBaseResource resource, RequestDetails request) {
        check(request, Interaction.DELETE, resource);
    }

    private void check(RequestDetails request, Interaction interaction, IBaseResource resource) {
        Caller caller = Callers.of(request);
        if (caller != null && !allowList.permits(caller, interaction, resource.fhirType())) {
            throw new ForbiddenOperationException("not allowed for this caller");
        }
        if (resource instanceof Subscription subscription && TRAIL_CRITERIA.matcher(String.valueOf(subscription.getCriteria())).find()) {
            // A notification that is audited would notify of its own record, and so on without end.
            throw new UnprocessableEntityException("the trail triggers no subscription");
        }
    }

    private static boolean sameEvent(AuditEvent stored, AuditEvent sent) {
        return withoutMeta(stored).equalsDeep(withoutMeta(sent));
    }

    private static AuditEvent withoutMeta(AuditEvent event) {
        AuditEvent copy = event.copy();
        copy.setId((String) null);
        copy.setMeta(new Meta());
        return copy;
    }
}
