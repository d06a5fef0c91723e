-- +goose Up

-- What regressed when: how many at once are an incident. A release of an
-- incident is told of together with the others.
CREATE TABLE regressions (
    release_id   TEXT PRIMARY KEY REFERENCES releases (id),
    cluster      TEXT NOT NULL,
    namespace    TEXT NOT NULL,
    workload_uid TEXT NOT NULL,
    at           BIGINT NOT NULL,
    incident     TEXT NOT NULL
);
CREATE INDEX regressions_at ON regressions (cluster, at);
CREATE INDEX regressions_incident ON regressions (incident);

-- Rollbacks that were let through the breaker.
CREATE TABLE grants (
    action_key TEXT PRIMARY KEY REFERENCES actions (action_key),
    cluster    TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX grants_at ON grants (cluster, at);

-- The breaker of a cluster, where the namespace is '', or of a namespace.
CREATE TABLE breakers (
    cluster   TEXT NOT NULL,
    namespace TEXT NOT NULL,
    is_open   INTEGER NOT NULL,
    changed_at BIGINT NOT NULL,
    closes_at BIGINT,
    actor     TEXT NOT NULL,
    why       TEXT NOT NULL,
    PRIMARY KEY (cluster, namespace)
);

CREATE TABLE incidents (
    id         TEXT PRIMARY KEY,
    cluster    TEXT NOT NULL,
    release_id TEXT NOT NULL REFERENCES releases (id),
    why        TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('firing', 'resolving', 'resolved')),
    opened_at  BIGINT NOT NULL,
    posted_at  BIGINT,
    ended_at   BIGINT
);
CREATE INDEX incidents_state ON incidents (cluster, state);
