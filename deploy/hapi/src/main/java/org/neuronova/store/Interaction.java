package org.neuronova.store;

/** What the allow-list distinguishes. */
public enum Interaction {
    /** Read or vread of one resource. */
    READ,
    /** Search and history of one type. */
    SEARCH,
    CREATE,
    /** PUT or PATCH of a resource that exists. */
    UPDATE,
    DELETE
}
