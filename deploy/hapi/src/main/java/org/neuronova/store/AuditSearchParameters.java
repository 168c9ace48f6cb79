package org.neuronova.store;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.RuntimeSearchParam;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.rest.api.server.SystemRequestDetails;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.util.Locale;
import java.util.Set;
import org.hl7.fhir.r4.model.Enumerations.PublicationStatus;
import org.hl7.fhir.r4.model.Enumerations.SearchParamType;
import org.hl7.fhir.r4.model.SearchParameter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.event.EventListener;

/**
 * Indexes AuditEvent by the parameters in use only: the trail gets a row for every interaction, and each index costs
 * every row.
 *
 * <p>HAPI drops a built-in parameter when the database holds a retired one of the same address. Written by content,
 * so a second start changes nothing.
 */
class AuditSearchParameters {

    private static final Logger LOG = LoggerFactory.getLogger(AuditSearchParameters.class);
    private static final String TYPE = "AuditEvent";
    private static final Set<String> IN_USE =
            Set.of("patient", "agent", "entity", "date", "action", "outcome", "type");

    private final FhirContext fhir;
    private final DaoRegistry daos;
    private final ISearchParamRegistry registry;

    AuditSearchParameters(FhirContext fhir, DaoRegistry daos, ISearchParamRegistry registry) {
        this.fhir = fhir;
        this.daos = daos;
        this.registry = registry;
    }

    @EventListener(ApplicationReadyEvent.class)
    void retireTheRest() {
        for (RuntimeSearchParam parameter : fhir.getResourceDefinition(TYPE).getSearchParams()) {
            if (!IN_USE.contains(parameter.getName()) && !parameter.getName().startsWith("_")) {
                daos.getResourceDao(SearchParameter.class).update(retired(parameter), new SystemRequestDetails());
            }
        }
        registry.forceRefresh();
        LOG.info("AuditEvent is indexed by {}", registry.getActiveSearchParams(
                TYPE, ISearchParamRegistry.SearchParamLookupContextEnum.INDEX).getSearchParamNames());
    }

    private static SearchParameter retired(RuntimeSearchParam parameter) {
        SearchParameter retired = new SearchParameter();
        retired.setId("unused-" + TYPE.toLowerCase(Locale.ROOT) + "-" + parameter.getName());
        retired.setUrl("http://hl7.org/fhir/SearchParameter/" + TYPE + "-" + parameter.getName());
        retired.setName(parameter.getName());
        retired.setCode(parameter.getName());
        retired.setDescription("Not indexed by this store.");
        retired.setStatus(PublicationStatus.RETIRED);
        retired.addBase(TYPE);
        retired.setType(SearchParamType.fromCode(parameter.getParamType().getCode()));
        retired.setExpression(parameter.getPath());
        return retired;
    }
}
