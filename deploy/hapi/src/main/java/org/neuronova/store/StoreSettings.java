package org.neuronova.store;

import java.time.Duration;
import java.util.Map;
import org.springframework.boot.context.properties.ConfigurationProperties;

/**
 * What an operator may set; application.yaml names the environment variable and the default of each.
 *
 * @param production refuse a database that is only good for demonstrations and tests
 * @param baseUrl public address that every link, Location and fullUrl carries
 * @param defaultPageSize entries of a page when the request names no count
 * @param maxPageSize most entries of a page
 * @param subscriptionInterval pause between two looks at the queue of changed resources
 * @param deliveryRetryFor how long one notification is tried again before it is dropped
 * @param secrets one secret for each kind of caller
 */
@ConfigurationProperties("store")
public record StoreSettings(
        boolean production,
        String baseUrl,
        int defaultPageSize,
        int maxPageSize,
        Duration subscriptionInterval,
        Duration deliveryRetryFor,
        Map<Caller, String> secrets) {

    private static final int SHORTEST_SECRET = 32;

    public StoreSettings {
        for (Caller caller : Caller.values()) {
            String secret = secrets.getOrDefault(caller, "");
            if (secret.length() < SHORTEST_SECRET) {
                throw new IllegalStateException(
                        "HAPI_SECRET_" + caller + " must be set to at least " + SHORTEST_SECRET + " characters");
            }
        }
        if (secrets.values().stream().distinct().count() != Caller.values().length) {
            throw new IllegalStateException("every kind of caller needs a secret of its own: two HAPI_SECRET_* are equal");
        }
        secrets = Map.copyOf(secrets);
    }

    /** Names the settings without the secrets, so that no log can carry them. */
    @Override
    public String toString() {
        return "StoreSettings[production=" + production + ", baseUrl=" + baseUrl + "]";
    }
}
