package org.neuronova.store;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.neuronova.store.Bodies.auditEvent;
import static org.neuronova.store.Bodies.subscription;
import static org.neuronova.store.Bodies.transaction;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.neuronova.store.StoreClient.Answer;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;

/**
 * The store as its callers meet it: one start on an empty H2 file, every promise of README.md asked for over HTTP.
 *
 * <p>The system property {@code store.test.database} names another, empty database.
 */
class StoreIT {

    private static final String PUBLIC = "http://public.example/fhir";
    private static final Map<Caller, StoreClient> CLIENTS = new EnumMap<>(Caller.class);
    private static ServletWebServerApplicationContext store;

    @TempDir
    static Path data;

    @BeforeAll
    static void start() {
        List<String> arguments = new ArrayList<>(List.of(
                "--server.port=0",
                "--store.base-url=" + PUBLIC,
                "--store.delivery-retry-for=1s",
                "--spring.datasource.url=" + System.getProperty("store.test.database",
                        "jdbc:h2:file:" + data.resolve("fhir") + ";WRITE_DELAY=0")));
        Map<Caller, String> secrets = new EnumMap<>(Caller.class);
        for (Caller caller : Caller.values()) {
            secrets.put(caller, UUID.randomUUID().toString());
            arguments.add("--store.secrets." + caller.name().toLowerCase() + "=" + secrets.get(caller));
        }
        store = (ServletWebServerApplicationContext)
                SpringApplication.run(StoreApplication.class, arguments.toArray(String[]::new));
        secrets.forEach((caller, secret) ->
                CLIENTS.put(caller, new StoreClient(store.getWebServer().getPort(), secret)));
    }

    @AfterAll
    static void stop() {
        store.close();
    }

    // --- who may come in ---------------------------------------------------------------------------------------

    @Test
    void strangersGetAnEmpty403() {
        for (String secret : new String[] {null, "", "wrong"}) {
            Answer answer = new StoreClient(store.getWebServer().getPort(), secret).get("/fhir/Patient");
            assertEquals(403, answer.status());
            assertEquals("", answer.body());
        }
    }

    @Test
    void nginxOnlyReads() {
        StoreClient nginx = as(Caller.NGINX);
        assertEquals(200, nginx.get("/fhir/Patient?_offset=0&_count=1").status());
        assertEquals(403, nginx.post("/fhir/Patient", "{\"resourceType\":\"Patient\"}").status());
        assertEquals(403, nginx.post("/fhir/Patient/_search", "").status());
        assertEquals(403, nginx.get("/fhir/AuditEvent?_offset=0").status());
        assertEquals(403, nginx.get("/fhir/Subscription?_offset=0").status());
    }

    @Test
    void eachCallerWritesItsOwnTypesOnly() {
        assertEquals(201, create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").status());
        assertEquals(403, create(Caller.FACADE, "{\"resourceType\":\"Subscription\",\"status\":\"off\"}").status());
        assertEquals(403, create(Caller.WORKERS, "{\"resourceType\":\"Patient\"}").status());
        assertEquals(403, create(Caller.SHIPPER, "{\"resourceType\":\"Patient\"}").status());
        assertEquals(403, create(Caller.RECEIVER, "{\"resourceType\":\"Patient\"}").status());
        String task = "{\"resourceType\":\"Task\",\"status\":\"requested\",\"intent\":\"order\"}";
        assertEquals(201, create(Caller.WORKERS, task).status());
        for (Caller caller : Caller.values()) {
            assertEquals(403, create(caller, "{\"resourceType\":\"SearchParameter\"}").status());
            assertEquals(403, create(caller, "{\"resourceType\":\"StructureDefinition\"}").status());
            assertEquals(403, create(caller, "{\"resourceType\":\"Binary\"}").status());
        }
    }

    @Test
    void entriesOfATransactionAreCheckedLikeRequests() {
        String patient = transaction("POST", "Patient", "{\"resourceType\":\"Patient\"}");
        assertEquals(403, as(Caller.WORKERS).post("/fhir", patient).status());
        assertEquals(200, as(Caller.FACADE).post("/fhir", patient).status());
        String event = transaction("POST", "AuditEvent", auditEvent("Patient/none"));
        assertEquals(403, as(Caller.FACADE).post("/fhir", event).status());
        for (String url : List.of("AuditEvent", "Patient/$everything", "Subscription", "Patient?_getpages=x")) {
            String batch = "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{\"method\":\"GET\","
                    + "\"url\":\"" + url + "\"}}]}";
            Answer answer = as(Caller.WORKERS).post("/fhir", batch);
            String status = answer.json().at("/entry/0/response/status").asText();
            assertFalse(answer.status() == 200 && status.startsWith("2"), url + " answered " + status);
        }
        String id = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        String batch = "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":["
                + "{\"request\":{\"method\":\"DELETE\",\"url\":\"Patient/" + id + "\"}}]}";
        as(Caller.WORKERS).post("/fhir", batch);
        assertEquals(200, as(Caller.FACADE).get("/fhir/Patient/" + id).status());
    }

    @Test
    void operationsAndPageTokensAreRefusedToAll() {
        for (Caller caller : Caller.values()) {
            for (String path : List.of("$expunge", "$reindex", "$export", "$meta", "$get-resource-counts",
                    "$hapi.fhir.merge", "Patient/$export", "Patient/1/$everything", "Patient/%24export", "?_getpages=x",
                    "?%5Fgetpages=x")) {
                assertEquals(403, as(caller).get("/fhir/" + path).status(), path);
                assertEquals(403, as(caller).post("/fhir/" + path, "{\"resourceType\":\"Parameters\"}").status(), path);
            }
        }
        // HAPI itself answers 400 to a page token in a form.
        assertTrue(as(Caller.FACADE).send("POST", "/fhir/Patient/_search", "_getpages=x",
                "Content-Type", "application/x-www-form-urlencoded").status() >= 400);
    }

    @Test
    void whatACallerMayNotReadIsLeftOutOfItsAnswers() {
        String patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        assertEquals(201, create(Caller.SHIPPER, auditEvent("Patient/" + patient)).status());
        String search = "/fhir/Patient?_id=" + patient + "&_revinclude=AuditEvent:entity&_offset=0";
        assertTrue(as(Caller.FACADE).get(search).body().contains("\"AuditEvent\""));
        for (Caller caller : List.of(Caller.NGINX, Caller.WORKERS, Caller.RECEIVER)) {
            String body = as(caller).get(search).body();
            assertTrue(body.contains(patient), body);
            assertFalse(body.contains("\"AuditEvent\""), body);
        }
        // The history of everything would show the trail and the receiver's secrets.
        for (Caller caller : Caller.values()) {
            assertEquals(403, as(caller).get("/fhir/_history?_count=50&_offset=0").status());
        }
        assertEquals(200, as(Caller.WORKERS).get("/fhir/Patient/_history?_count=50&_offset=0").status());
    }

    @Test
    void rewritingHistoryIsRefused() {
        String id = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        Answer answer = as(Caller.FACADE).put("/fhir/Patient/" + id + "/_history/1",
                "{\"resourceType\":\"Patient\",\"id\":\"" + id + "\",\"active\":true}", "X-Rewrite-History", "true");
        assertEquals(403, answer.status());
    }

    // --- what the record keeps ---------------------------------------------------------------------------------

    @Test
    void linksNameThePublicAddressAndIdsAreUuids() {
        Answer patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}");
        assertEquals(patient.id(), UUID.fromString(patient.id()).toString());
        JsonNode page = as(Caller.FACADE).get("/fhir/Patient?_count=1&_offset=0&_sort=_id").json();
        assertTrue(page.at("/entry/0/fullUrl").asText().startsWith(PUBLIC + "/Patient/"));
        String next = "";
        for (JsonNode link : page.get("link")) {
            next = link.get("relation").asText().equals("next") ? link.get("url").asText() : next;
        }
        assertTrue(next.contains("_offset=1") && !next.contains("_getpages"), next);
    }

    @Test
    void aSearchSeesWhatWasJustWritten() {
        String family = "F" + UUID.randomUUID();
        String search = "/fhir/Patient?family=" + family + "&_offset=0";
        assertFalse(as(Caller.FACADE).get(search).json().has("entry"));
        create(Caller.FACADE, "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"" + family + "\"}]}");
        assertEquals(1, as(Caller.FACADE).get(search).json().get("entry").size());
    }

    @Test
    void aStaleIfMatchIsAConflict() {
        String id = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        String body = "{\"resourceType\":\"Patient\",\"id\":\"" + id + "\",\"active\":%s}";
        assertEquals(200, as(Caller.FACADE)
                .put("/fhir/Patient/" + id, body.formatted("true"), "If-Match", "W/\"1\"").status());
        assertEquals(409, as(Caller.FACADE)
                .put("/fhir/Patient/" + id, body.formatted("false"), "If-Match", "W/\"1\"").status());
        assertEquals("W/\"2\"", as(Caller.FACADE).get("/fhir/Patient/" + id).etag());
    }

    @Test
    void racingConditionalCreatesLeaveOneRow() throws Exception {
        String value = UUID.randomUUID().toString();
        String body = "{\"resourceType\":\"Patient\",\"identifier\":[{\"system\":\"urn:x\",\"value\":\"" + value + "\"}]}";
        ExecutorService threads = Executors.newFixedThreadPool(6);
        List<Future<Answer>> answers = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            answers.add(threads.submit(() -> as(Caller.FACADE)
                    .post("/fhir/Patient", body, "If-None-Exist", "identifier=urn:x|" + value)));
        }
        for (Future<Answer> answer : answers) {
            assertTrue(List.of(200, 201, 409).contains(answer.get().status()));
        }
        threads.shutdown();
        JsonNode found = as(Caller.FACADE).get("/fhir/Patient?identifier=urn:x|" + value + "&_offset=0").json();
        assertEquals(1, found.get("entry").size());
    }

    @Test
    void aTransactionHappensWholeOrNotAtAll() {
        String value = UUID.randomUUID().toString();
        String task = "{\"resourceType\":\"Task\",\"status\":\"requested\",\"intent\":\"order\","
                + "\"identifier\":[{\"value\":\"" + value + "\"}]}";
        String bundle = "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":["
                + "{\"resource\":" + task + ",\"request\":{\"method\":\"POST\",\"url\":\"Task\"}},"
                + "{\"resource\":{\"resourceType\":\"Patient\"},\"request\":{\"method\":\"POST\",\"url\":\"Patient\"}}]}";
        assertEquals(403, as(Caller.WORKERS).post("/fhir", bundle).status());
        assertFalse(as(Caller.WORKERS).get("/fhir/Task?identifier=" + value + "&_offset=0").json().has("entry"));
    }

    @Test
    void provenanceKeepsTheVersionItNames() {
        String patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        String target = "Patient/" + patient + "/_history/1";
        String provenance = "{\"resourceType\":\"Provenance\",\"target\":[{\"reference\":\"" + target + "\"}],"
                + "\"recorded\":\"2026-01-01T00:00:00Z\",\"agent\":[{\"who\":{\"display\":\"a worker\"}}],"
                + "\"entity\":[{\"role\":\"source\",\"what\":{\"reference\":\"" + target + "\"}}]}";
        String id = create(Caller.WORKERS, provenance).id();
        JsonNode read = as(Caller.FACADE).get("/fhir/Provenance/" + id).json();
        assertEquals(target, read.at("/target/0/reference").asText());
        assertEquals(target, read.at("/entity/0/what/reference").asText());
        assertEquals(403, as(Caller.WORKERS).put("/fhir/Provenance/" + id, read.toString()).status());
    }

    // --- the trail ---------------------------------------------------------------------------------------------

    @Test
    void anAuditEventIsWrittenOnceAndNeverChanged() {
        String patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        String path = "/fhir/AuditEvent/ae-" + UUID.randomUUID();
        String id = path.substring(path.lastIndexOf('/') + 1);
        String event = auditEvent("Patient/" + patient + "/_history/1").replaceFirst("\\{", "{\"id\":\"" + id + "\",");
        assertEquals(201, as(Caller.SHIPPER).put(path, event).status());
        assertEquals(200, as(Caller.SHIPPER).put(path, event).status());
        String bundle = transaction("PUT", "AuditEvent/" + id, event);
        assertEquals(200, as(Caller.SHIPPER).post("/fhir", bundle).status());

        String other = event.replace("\"action\":\"R\"", "\"action\":\"D\"");
        assertNotEquals(event, other);
        for (Caller caller : Caller.values()) {
            assertEquals(403, as(caller).put(path, other).status());
            if (caller != Caller.RETENTION) {
                assertEquals(403, as(caller).delete(path).status());
            }
            assertEquals(403, as(caller).post("/fhir", transaction("PUT", "AuditEvent/" + id, other)).status());
            assertEquals(403, as(caller).send("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/action\",\"value\":\"D\"}]",
                    "Content-Type", "application/json-patch+json").status());
        }
        JsonNode read = as(Caller.SHIPPER).get(path).json();
        assertEquals("R", read.get("action").asText());
        assertEquals("1", read.at("/meta/versionId").asText());
        assertEquals("Patient/" + patient + "/_history/1", read.at("/entity/0/what/reference").asText());
        assertEquals(403, create(Caller.FACADE, auditEvent("Patient/" + patient)).status());
        assertEquals(403, as(Caller.FACADE).put("/fhir/AuditEvent/" + id, event).status());
    }

    @Test
    void whatRetentionDeletesIsGoneWithItsVersions() {
        String path = "/fhir/AuditEvent/ae-" + UUID.randomUUID();
        String event = auditEvent("Patient/gone").replaceFirst(
                "\\{", "{\"id\":\"" + path.substring(path.lastIndexOf('/') + 1) + "\",");
        assertEquals(201, as(Caller.SHIPPER).put(path, event).status());
        assertEquals(200, as(Caller.RETENTION).delete(path).status());
        // Deleted would be 410.
        assertEquals(404, as(Caller.SHIPPER).get(path).status());
        assertEquals(404, as(Caller.SHIPPER).get(path + "/_history/1").status());
        assertEquals(403, as(Caller.RETENTION).get("/fhir/Patient/gone").status());
        assertEquals(403, as(Caller.RETENTION).put(path, event).status());
    }

    @Test
    void theTrailDoesNotKeepAResourceFromBeingDeleted() {
        String patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        for (int i = 0; i < 30; i++) {
            assertEquals(201, create(Caller.SHIPPER, auditEvent("Patient/" + patient)).status());
        }
        String encounter = create(Caller.FACADE, "{\"resourceType\":\"Encounter\",\"status\":\"planned\","
                + "\"class\":{\"code\":\"AMB\"},\"subject\":{\"reference\":\"Patient/" + patient + "\"}}").id();
        Answer refused = as(Caller.FACADE).delete("/fhir/Patient/" + patient);
        assertEquals(409, refused.status());
        assertTrue(refused.body().contains("Encounter/" + encounter), refused.body());
        assertFalse(refused.body().contains("AuditEvent/"), refused.body());

        assertEquals(200, as(Caller.FACADE).delete("/fhir/Encounter/" + encounter).status());
        assertEquals(200, as(Caller.FACADE).delete("/fhir/Patient/" + patient).status());
        assertEquals(410, as(Caller.FACADE).get("/fhir/Patient/" + patient).status());
        JsonNode trail = as(Caller.FACADE)
                .get("/fhir/AuditEvent?entity=Patient/" + patient + "&_offset=0&_count=50").json();
        assertEquals(30, trail.get("entry").size());
    }

    @Test
    void theShipperIsNotStoppedByWhatWasDeletedOrNeverExisted() {
        String patient = create(Caller.FACADE, "{\"resourceType\":\"Patient\"}").id();
        String id = "ae-" + UUID.randomUUID();
        String event = auditEvent("Patient/" + patient).replaceFirst("\\{", "{\"id\":\"" + id + "\",");
        assertEquals(201, as(Caller.SHIPPER).put("/fhir/AuditEvent/" + id, event).status());
        assertEquals(200, as(Caller.FACADE).delete("/fhir/Patient/" + patient).status());
        assertEquals(200, as(Caller.SHIPPER).put("/fhir/AuditEvent/" + id, event).status());
        assertEquals(201, create(Caller.SHIPPER, auditEvent("Patient/" + patient)).status());
        assertEquals(201, create(Caller.SHIPPER, auditEvent("Patient/never-existed")).status());
        String bundle = transaction("POST", "AuditEvent", auditEvent("Patient/never-existed"));
        assertEquals(200, as(Caller.SHIPPER).post("/fhir", bundle).status());
        String encounter = "{\"resourceType\":\"Encounter\",\"status\":\"planned\",\"class\":{\"code\":\"AMB\"},"
                + "\"subject\":{\"reference\":\"Patient/never-existed\"}}";
        assertEquals(400, create(Caller.FACADE, encounter).status());
    }

    @Test
    void theTrailIsIndexedByTheParametersInUse() {
        for (String used : List.of("patient=Patient/x", "agent=Practitioner/x", "entity=Patient/x", "date=2026-01-01",
                "action=R", "outcome=0", "type=rest")) {
            assertEquals(200, as(Caller.SHIPPER).get("/fhir/AuditEvent?_offset=0&" + used).status(), used);
        }
        for (String unused : List.of("address=x", "agent-name=x", "agent-role=x", "altid=x", "entity-name=x",
                "entity-role=x", "entity-type=x", "policy=x", "site=x", "source=Device/x", "subtype=x")) {
            assertEquals(400, as(Caller.SHIPPER).get("/fhir/AuditEvent?_offset=0&" + unused).status(), unused);
        }
    }

    // --- notifications -----------------------------------------------------------------------------------------

    @Test
    void aSubscriptionWakesItsReceiver() throws Exception {
        BlockingQueue<String> calls = new LinkedBlockingQueue<>();
        HttpServer receiver = Receiver.listen(calls);
        try {
            String value = UUID.randomUUID().toString();
            String subscription = subscription("Task?identifier=" + value, receiver.getAddress().getPort());
            assertEquals(403, create(Caller.FACADE, subscription).status());
            Answer created = as(Caller.RECEIVER).put("/fhir/Subscription/test-hook",
                    subscription.replaceFirst("\\{", "{\"id\":\"test-hook\","));
            assertEquals(201, created.status());
            awaitActive("test-hook");
            String task = create(Caller.WORKERS, "{\"resourceType\":\"Task\",\"status\":\"requested\",\"intent\":\"order\","
                    + "\"identifier\":[{\"value\":\"" + value + "\"}]}").id();
            assertEquals("PUT /hooks/task/Task/" + task + " the-secret", calls.poll(20, TimeUnit.SECONDS));
        } finally {
            receiver.stop(1);
        }
    }

    @Test
    void theTrailTriggersNoSubscription() {
        assertEquals(422, create(Caller.RECEIVER, subscription("AuditEvent?action=R", 9)).status());
    }

    // --- helpers -----------------------------------------------------------------------------------------------

    private static StoreClient as(Caller caller) {
        return CLIENTS.get(caller);
    }

    private static Answer create(Caller caller, String resource) {
        String type = StoreClient.parse(resource).get("resourceType").asText();
        return as(caller).post("/fhir/" + type, resource);
    }

    private static void awaitActive(String id) throws InterruptedException {
        for (int i = 0; i < 200; i++) {
            JsonNode status = as(Caller.RECEIVER).get("/fhir/Subscription/" + id).json().get("status");
            assertNotNull(status);
            if (status.asText().equals("active")) {
                return;
            }
            TimeUnit.MILLISECONDS.sleep(50);
        }
        throw new AssertionError("the subscription did not become active");
    }
}
