package org.neuronova.store;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reports server errors by class, HAPI code and place. Messages carry row values and match URLs: never printed. */
@Interceptor
public class FailureLog {

    private static final Logger LOG = LoggerFactory.getLogger(FailureLog.class);
    /** The code at the beginning of a message of HAPI's, which quotes nothing. */
    static final Pattern CODE = Pattern.compile("HAPI-\\d{4}");
    private static final int FRAMES = 8;

    @Hook(Pointcut.SERVER_PRE_PROCESS_OUTGOING_EXCEPTION)
    public void failed(RequestDetails request, Throwable failure) {
        if (failure instanceof BaseServerResponseException known && known.getStatusCode() < 500) {
            return;
        }
        LOG.error("request {} failed: {}", request == null ? "-" : request.getRequestId(), describe(failure));
    }

    /** Keeps a thread of HAPI's that dies from printing the message of its exception. */
    static void coverThreads() {
        Thread.setDefaultUncaughtExceptionHandler(
                (thread, failure) -> LOG.error("thread {} failed: {}", thread.getName(), describe(failure)));
    }

    /** Classes of a failure and its causes with HAPI's codes, and where it was thrown; no message. */
    static String describe(Throwable failure) {
        List<String> causes = new ArrayList<>();
        Throwable last = failure;
        for (Throwable cause = failure; cause != null && causes.size() < FRAMES; cause = cause.getCause()) {
            Matcher code = CODE.matcher(String.valueOf(cause.getMessage()));
            causes.add(cause.getClass().getName() + (code.find() ? " " + code.group() : ""));
            last = cause;
        }
        StringBuilder text = new StringBuilder(String.join(" < ", causes));
        StackTraceElement[] frames = last.getStackTrace();
        for (int i = 0; i < Math.min(FRAMES, frames.length); i++) {
            text.append(" | ").append(frames[i]);
        }
        return text.toString();
    }
}
