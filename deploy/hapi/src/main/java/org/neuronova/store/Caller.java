package org.neuronova.store;

/** The kinds of process that hold a secret of this store. */
public enum Caller {
    /** Decides for every client; reads and writes clinical resources. */
    FACADE,
    /** Carries bodies that the facade passed without looking at them. */
    NGINX,
    /** Keeps the subscriptions and takes their notifications. */
    RECEIVER,
    /** Ingest, workers and scheduler: what the product itself writes. */
    WORKERS,
    /** The single writer of the trail. */
    SHIPPER,
    /** The operator's one command that removes what the trail has kept long enough. */
    RETENTION
}
