package org.neuronova.store;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.LoggingEvent;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a line of the log may say. */
class LogFormatIT {

    private static final String VALUE = "Hong^Gildong";

    @ParameterizedTest
    @ValueSource(strings = {"ca.uhn.fhir.parser.LenientErrorHandler", "org.quartz.core.JobRunShell", "ROOT"})
    void aValueInAMessageOfOthersDoesNotGoOut(String logger) {
        String line = line(logger, "HAPI-1208: Invalid value: {}", new IllegalStateException("of " + VALUE));

        assertFalse(line.contains(VALUE), line);
        for (String part : List.of("\"HAPI-1208\"", logger, "WARN", "IllegalStateException", "LogFormatIT.java")) {
            assertTrue(line.contains(part), line);
        }
        assertTrue(line.endsWith("}\n"), line);
    }

    @ParameterizedTest
    @ValueSource(strings = {"org.neuronova.store.DeliveryLog", "org.springframework.boot.SpringApplication"})
    void ourOwnAndThoseOfTheStartDo(String logger) {
        String line = line(logger, "subscription {}", new IllegalStateException("no database"));

        assertTrue(line.contains("subscription " + VALUE), line);
        assertTrue(line.contains("no database"), line);
    }

    private static String line(String logger, String message, Throwable failure) {
        Logger source = new LoggerContext().getLogger(logger);
        Object[] arguments = {VALUE};
        return new LogFormat().format(new LoggingEvent("", source, Level.WARN, message, failure, arguments));
    }
}
