package org.neuronova.store;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.interceptor.api.IInterceptorService;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.HardcodedServerAddressStrategy;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import org.springframework.beans.factory.config.AutowireCapableBeanFactory;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.boot.web.servlet.ServletRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.orm.jpa.SharedEntityManagerCreator;

/** The one servlet, and the guards in front of and inside it. */
@Configuration
class ServerConfig {

    @Bean
    AllowList allowList() {
        return new AllowList();
    }

    @Bean
    RestfulServer restfulServer(
            FhirContext fhir, StoreSettings settings, AllowList allowList, JpaStorageSettings storage,
            ResourceProviderFactory resourceProviders, JpaSystemProvider<?, ?> systemProvider,
            IFhirSystemDao<?, ?> systemDao, ISearchParamRegistry searchParameters, IValidationSupport validation,
            DatabaseBackedPagingProvider paging, IInterceptorService storageInterceptors,
            EntityManagerFactory database, DaoRegistry daos) {
        RestfulServer server = new RestfulServer(fhir);
        server.registerProviders(resourceProviders.createProviders());
        server.registerProvider(systemProvider);
        server.setServerConformanceProvider(
                new JpaCapabilityStatementProvider(server, systemDao, storage, searchParameters, validation));
        server.setServerAddressStrategy(new HardcodedServerAddressStrategy(settings.baseUrl()));
        server.setDefaultResponseEncoding(EncodingEnum.JSON);
        server.setDefaultPrettyPrint(false);
        paging.setDefaultPageSize(settings.defaultPageSize());
        paging.setMaximumPageSize(settings.maxPageSize());
        server.setPagingProvider(paging);
        server.registerInterceptor(new RequestGuard(allowList));
        server.registerInterceptor(new FailureLog());
        server.registerInterceptor(new Retention(daos));
        storageInterceptors.registerInterceptor(new WriteGuard(allowList));
        storageInterceptors.registerInterceptor(new ReadGuard(allowList));
        storageInterceptors.registerInterceptor(new DeliveryLog());
        storageInterceptors.registerInterceptor(
                new DeletionGuard(SharedEntityManagerCreator.createSharedEntityManager(database)));
        return server;
    }

    @Bean
    AuditSearchParameters auditSearchParameters(FhirContext fhir, DaoRegistry daos, ISearchParamRegistry registry) {
        return new AuditSearchParameters(fhir, daos, registry);
    }

    @Bean
    ServletRegistrationBean<RestfulServer> fhirServlet(RestfulServer server, AutowireCapableBeanFactory beans) {
        beans.autowireBean(server);
        ServletRegistrationBean<RestfulServer> servlet = new ServletRegistrationBean<>(server, "/fhir/*");
        servlet.setName("fhir");
        servlet.setLoadOnStartup(1);
        return servlet;
    }

    @Bean
    FilterRegistrationBean<CallerFilter> callerFilter(StoreSettings settings) {
        FilterRegistrationBean<CallerFilter> filter =
                new FilterRegistrationBean<>(new CallerFilter(settings.secrets()));
        filter.addUrlPatterns("/*");
        filter.setOrder(Ordered.HIGHEST_PRECEDENCE);
        return filter;
    }
}
