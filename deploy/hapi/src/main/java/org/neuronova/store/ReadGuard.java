package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.server.IPreResourceShowDetails;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import org.hl7.fhir.instance.model.api.IBaseResource;

/** Leaves out of every answer what the caller may not read, however it came there (_revinclude, for example). */
@Interceptor
public class ReadGuard {

    private final AllowList allowList;

    ReadGuard(AllowList allowList) {
        this.allowList = allowList;
    }

    @Hook(Pointcut.STORAGE_PRESHOW_RESOURCES)
    public void show(IPreResourceShowDetails details, RequestDetails request) {
        Caller caller = Callers.of(request);
        if (caller == null) {
            return;
        }
        for (int i = 0; i < details.size(); i++) {
            IBaseResource resource = details.getResource(i);
            // An answer to a write or an error carries an OperationOutcome.
            if (resource != null
                    && !resource.fhirType().equals("OperationOutcome")
                    && !allowList.permits(caller, Interaction.READ, resource.fhirType())) {
                details.setResource(i, null);
            }
        }
    }
}
