package org.neuronova.store;

import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxy;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.springframework.boot.json.JsonWriter;
import org.springframework.boot.logging.structured.StructuredLogFormatter;

/**
 * One JSON line for each event of the log. Other people's messages quote rows, resources and queries, and so do those of
 * exceptions: of them only HAPI's code goes out, with the logger, the exceptions' classes and the place.
 */
public class LogFormat implements StructuredLogFormatter<ILoggingEvent> {

    /** Whose messages are known to quote nothing of a patient: our own, the start of the application, the pool. */
    private static final List<String> PLAIN =
            List.of("org.neuronova.store.", "org.springframework.boot.", "com.zaxxer.hikari.");

    private final JsonWriter<ILoggingEvent> line = JsonWriter.<ILoggingEvent>of(members -> {
        members.add("@timestamp", ILoggingEvent::getInstant);
        members.add("level", event -> event.getLevel().toString());
        members.add("logger_name", ILoggingEvent::getLoggerName);
        members.add("thread_name", ILoggingEvent::getThreadName);
        members.add("message", LogFormat::message).whenNotNull();
        members.add("failure", LogFormat::failure).whenNotNull();
    }).withNewLineAtEnd();

    @Override
    public String format(ILoggingEvent event) {
        return line.writeToString(event);
    }

    private static String message(ILoggingEvent event) {
        String message = String.valueOf(event.getFormattedMessage());
        if (isPlain(event)) {
            return message;
        }
        Matcher code = FailureLog.CODE.matcher(message);
        return code.find() ? code.group() : null;
    }

    private static String failure(ILoggingEvent event) {
        if (!(event.getThrowableProxy() instanceof ThrowableProxy thrown)) {
            return null;
        }
        // Why the application or the pool has no database: an operator needs the words.
        return isPlain(event)
                ? Stream.iterate(thrown.getThrowable(), Objects::nonNull, Throwable::getCause)
                        .map(Throwable::toString)
                        .collect(Collectors.joining(" < "))
                : FailureLog.describe(thrown.getThrowable());
    }

    private static boolean isPlain(ILoggingEvent event) {
        return PLAIN.stream().anyMatch(event.getLoggerName()::startsWith);
    }
}
