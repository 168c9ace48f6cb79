package org.neuronova.store;

/** What the tests of the store send. */
final class Bodies {

    private Bodies() {}

    static String transaction(String method, String url, String resource) {
        return "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{\"resource\":" + resource
                + ",\"request\":{\"method\":\"" + method + "\",\"url\":\"" + url + "\"}}]}";
    }

    static String auditEvent(String what) {
        return "{\"resourceType\":\"AuditEvent\",\"type\":{\"code\":\"rest\"},\"action\":\"R\","
                + "\"recorded\":\"2026-01-01T00:00:00Z\",\"outcome\":\"0\","
                + "\"agent\":[{\"requestor\":true,\"who\":{\"display\":\"a client\"}}],"
                + "\"source\":{\"observer\":{\"display\":\"facade\"}},"
                + "\"entity\":[{\"what\":{\"reference\":\"" + what + "\"}}]}";
    }

    static String subscription(String criteria, int port) {
        return "{\"resourceType\":\"Subscription\",\"status\":\"requested\",\"reason\":\"test\",\"criteria\":\"" + criteria
                + "\",\"channel\":{\"type\":\"rest-hook\",\"endpoint\":\"http://127.0.0.1:" + port
                + "/hooks/task\",\"payload\":\"application/fhir+json\",\"header\":[\"X-NeuroNova-Secret: the-secret\"]}}";
    }
}
