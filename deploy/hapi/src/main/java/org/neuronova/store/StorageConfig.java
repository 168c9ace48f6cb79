package org.neuronova.store;

import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings.ClientIdStrategyEnum;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings.IdStrategyEnum;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binstore.DatabaseBinaryContentStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import jakarta.persistence.EntityManagerFactory;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import javax.sql.DataSource;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/** The beans that HAPI's configuration classes expect from an application. */
@Configuration
@EnableTransactionManagement
@Import({JpaR4Config.class, HapiJpaConfig.class, ThreadPoolFactoryConfig.class, JpaBatch2Config.class,
    Batch2JobsConfig.class})
class StorageConfig {

    /** References whose version is part of what they say; HAPI strips versions everywhere else. */
    private static final String[] VERSIONED_REFERENCES = {
        "AuditEvent.entity.what", "Provenance.target", "Provenance.entity.what"
    };

    private static final Map<String, String> HIBERNATE = Map.of(
            "hibernate.hbm2ddl.auto", "none",
            "hibernate.search.enabled", "false",
            "hibernate.jdbc.batch_size", "20",
            "hibernate.cache.use_query_cache", "false",
            "hibernate.cache.use_second_level_cache", "false",
            "hibernate.cache.use_structured_entries", "false",
            "hibernate.cache.use_minimal_puts", "false");

    @Bean
    JpaStorageSettings jpaStorageSettings(StoreSettings settings) {
        JpaStorageSettings storage = new JpaStorageSettings() {
            /** A record of the trail is written even when what it tells of was deleted a moment ago. */
            @Override
            public boolean isEnforceReferentialIntegrityOnWrite() {
                return !Trail.shipping() && super.isEnforceReferentialIntegrityOnWrite();
            }

            /** Nothing is ever removed for good but what the trail has kept long enough. */
            @Override
            public boolean isExpungeEnabled() {
                return Trail.retiring();
            }
        };
        storage.setResourceServerIdStrategy(IdStrategyEnum.UUID);
        storage.setResourceClientIdStrategy(ClientIdStrategyEnum.ALPHANUMERIC);
        // Every search sees what was written before it.
        storage.setReuseCachedSearchResultsForMillis(null);
        storage.setDeleteEnabled(true);
        storage.setAllowMultipleDelete(false);
        storage.setAllowExternalReferences(false);
        storage.setTreatBaseUrlsAsLocal(Set.of(settings.baseUrl()));
        storage.setFilterParameterEnabled(false);
        storage.setHibernateSearchIndexSearchParams(false);
        // AuditSearchParameters narrows an index before the first row exists.
        storage.setMarkResourcesForReindexingUponSearchParameterChange(false);
        // A table that only explains the hashes of the others; to fill it took a fifth of the first start.
        storage.setWriteToSearchParamIdentityTable(false);
        return storage;
    }

    @Bean
    PartitionSettings partitionSettings() {
        return new PartitionSettings();
    }

    @Bean
    IBinaryStorageSvc binaryStorage() {
        return new DatabaseBinaryContentStorageSvcImpl();
    }

    @Bean
    LocalContainerEntityManagerFactoryBean entityManagerFactory(
            ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings storage, DataSource source,
            StoreSettings settings, @Value("${spring.datasource.url}") String url) {
        fhir.getParserOptions().setDontStripVersionsFromReferencesAtPaths(VERSIONED_REFERENCES);
        Database database = Database.of(url, settings.production());
        database.migrate(source);
        Properties properties = new Properties();
        properties.putAll(HIBERNATE);
        properties.put("hibernate.dialect", database.dialect());
        LocalContainerEntityManagerFactoryBean factory =
                HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, storage);
        factory.setPersistenceUnitName("store");
        factory.setDataSource(source);
        factory.setJpaProperties(properties);
        return factory;
    }

    @Bean
    @Primary
    JpaTransactionManager transactionManager(EntityManagerFactory factory) {
        return new JpaTransactionManager(factory);
    }
}
