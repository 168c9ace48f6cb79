package org.neuronova.store;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Finds out who calls, and refuses what no caller ever needs before HAPI parses anything.
 *
 * <p>A refusal is 403 without a body: it tells a stranger nothing.
 */
class CallerFilter extends HttpFilter {

    /** Header that carries the secret. */
    static final String HEADER = "X-NeuroNova-Secret";

    /** Request attribute under which the interceptors find the {@link Caller}. */
    static final String ATTRIBUTE = Caller.class.getName();

    private static final long serialVersionUID = 1L;
    /** Type, id and version only: no escapes, no operations, no matrix parameters, nothing to normalise. */
    private static final Pattern PATH = Pattern.compile("/fhir(/[A-Za-z0-9_.-]+){0,4}/?");
    private static final Set<String> METHODS = Set.of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE");
    private static final Set<String> NGINX_METHODS = Set.of("GET", "HEAD");
    /** Headers by which a client changes what a HAPI server does beyond the interaction. */
    private static final Set<String> REFUSED_HEADERS =
            Set.of("x-rewrite-history", "x-cascade", "x-http-method-override", "x-upsert-extistence-check");

    private final transient Map<Caller, byte[]> secrets = new EnumMap<>(Caller.class);

    CallerFilter(Map<Caller, String> secrets) {
        secrets.forEach((caller, secret) -> this.secrets.put(caller, secret.getBytes(StandardCharsets.UTF_8)));
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        Caller caller = caller(request.getHeader(HEADER));
        if (caller == null || !acceptable(caller, request)) {
            response.setStatus(HttpServletResponse.SC_FORBIDDEN);
            return;
        }
        request.setAttribute(ATTRIBUTE, caller);
        Trail.shipping(caller == Caller.SHIPPER);
        try {
            chain.doFilter(request, response);
        } finally {
            Trail.shipping(false);
        }
    }

    private Caller caller(String given) {
        byte[] bytes = given == null ? new byte[0] : given.getBytes(StandardCharsets.UTF_8);
        Caller found = null;
        // All are compared, so that the time does not tell which one came near.
        for (Map.Entry<Caller, byte[]> entry : secrets.entrySet()) {
            if (MessageDigest.isEqual(bytes, entry.getValue())) {
                found = entry.getKey();
            }
        }
        return found;
    }

    private static boolean acceptable(Caller caller, HttpServletRequest request) {
        Set<String> methods = caller == Caller.NGINX ? NGINX_METHODS : METHODS;
        return methods.contains(request.getMethod())
                && PATH.matcher(request.getRequestURI()).matches()
                && REFUSED_HEADERS.stream().allMatch(name -> request.getHeader(name) == null)
                && (request.getQueryString() == null
                        || !request.getQueryString().toLowerCase(Locale.ROOT).contains("_getpages"));
    }
}
