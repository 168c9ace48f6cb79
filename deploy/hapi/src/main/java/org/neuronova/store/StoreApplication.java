package org.neuronova.store;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.autoconfigure.context.PropertyPlaceholderAutoConfiguration;
import org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration;
import org.springframework.boot.autoconfigure.web.embedded.EmbeddedWebServerFactoryCustomizerAutoConfiguration;
import org.springframework.boot.autoconfigure.web.servlet.ServletWebServerFactoryAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Import;

/**
 * The FHIR R4 store of NeuroNova: HAPI's JPA server behind one servlet.
 *
 * <p>Only the named auto-configurations run, so that a jar on the class path never opens an endpoint by itself.
 */
@SpringBootConfiguration
@ImportAutoConfiguration({
    PropertyPlaceholderAutoConfiguration.class,
    EmbeddedWebServerFactoryCustomizerAutoConfiguration.class,
    ServletWebServerFactoryAutoConfiguration.class,
    DataSourceAutoConfiguration.class
})
@EnableConfigurationProperties(StoreSettings.class)
@Import({StorageConfig.class, Notifications.class, ServerConfig.class})
public class StoreApplication {

    /** Starts the store and stays. */
    public static void main(String[] arguments) {
        FailureLog.coverThreads();
        SpringApplication.run(StoreApplication.class, arguments);
    }
}
