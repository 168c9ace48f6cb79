package org.neuronova.store;

import java.util.Set;

/** The resources that tell what happened; what they point at may go away. */
final class Trail {

    /** Types whose references neither keep a resource from being deleted nor are deleted with it. */
    static final Set<String> TYPES = Set.of("AuditEvent", "Provenance");

    private static final ThreadLocal<Boolean> SHIPPING = ThreadLocal.withInitial(() -> false);

    private static final ThreadLocal<Boolean> RETIRING = ThreadLocal.withInitial(() -> false);

    private Trail() {}

    /** Marks this thread as removing for good what was deleted of the trail; see {@link Retention}. */
    static void retiring(boolean now) {
        if (now) {
            RETIRING.set(true);
        } else {
            RETIRING.remove();
        }
    }

    static boolean retiring() {
        return RETIRING.get();
    }

    /** Marks this thread as serving the shipper, which writes AuditEvents and nothing else. */
    static void shipping(boolean now) {
        if (now) {
            SHIPPING.set(true);
        } else {
            SHIPPING.remove();
        }
    }

    static boolean shipping() {
        return SHIPPING.get();
    }
}
