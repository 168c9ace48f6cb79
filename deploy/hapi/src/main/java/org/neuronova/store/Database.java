package org.neuronova.store;

import ca.uhn.fhir.jpa.migrate.DriverTypeEnum;
import ca.uhn.fhir.jpa.migrate.HapiMigrationStorageSvc;
import ca.uhn.fhir.jpa.migrate.SchemaMigrator;
import ca.uhn.fhir.jpa.migrate.dao.HapiMigrationDao;
import ca.uhn.fhir.jpa.migrate.tasks.HapiFhirJpaMigrationTasks;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect;
import ca.uhn.fhir.util.VersionEnum;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import javax.sql.DataSource;

/** The two databases this store runs on. */
enum Database {
    /** A file: demonstrations and tests. */
    H2(DriverTypeEnum.H2_EMBEDDED, HapiFhirH2Dialect.class),
    POSTGRESQL(DriverTypeEnum.POSTGRES_9_4, HapiFhirPostgresDialect.class);

    private final DriverTypeEnum driver;
    private final Class<?> dialect;

    Database(DriverTypeEnum driver, Class<?> dialect) {
        this.driver = driver;
        this.dialect = dialect;
    }

    /** Tells from the JDBC URL which database it is, and refuses one that would lose data. */
    static Database of(String url, boolean production) {
        if (url.startsWith("jdbc:postgresql:")) {
            return POSTGRESQL;
        }
        if (!url.startsWith("jdbc:h2:")) {
            throw new IllegalStateException("HAPI_DATABASE_URL must be a jdbc:postgresql: or jdbc:h2: address");
        }
        if (production) {
            throw new IllegalStateException(
                    "HAPI_PRODUCTION is on: H2 is for demonstrations, set HAPI_DATABASE_URL to PostgreSQL");
        }
        if (url.startsWith("jdbc:h2:file:") && !List.of(url.split(";")).contains("WRITE_DELAY=0")) {
            throw new IllegalStateException(
                    "HAPI_DATABASE_URL needs ;WRITE_DELAY=0, without it a killed process loses acknowledged writes");
        }
        return H2;
    }

    String dialect() {
        return dialect.getName();
    }

    /** Brings an empty or older schema to this version of HAPI; does nothing when it is already there. */
    void migrate(DataSource source) {
        String history = SchemaMigrator.HAPI_FHIR_MIGRATION_TABLENAME;
        SchemaMigrator migrator = new SchemaMigrator(
                "store", history, source, new Properties(),
                new HapiFhirJpaMigrationTasks(Set.of()).getAllTasks(VersionEnum.values()),
                new HapiMigrationStorageSvc(new HapiMigrationDao(source, driver, history)));
        migrator.setDriverType(driver);
        migrator.createMigrationTableIfRequired();
        migrator.migrate();
    }
}
