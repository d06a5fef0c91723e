-- +goose Up

-- Times are UTC in unix milliseconds. The *_json columns hold plain types of
-- the release package; what is searched for has a column of its own.

CREATE TABLE releases (
    id             TEXT PRIMARY KEY,
    cluster        TEXT NOT NULL,
    namespace      TEXT NOT NULL,
    workload       TEXT NOT NULL,
    workload_uid   TEXT NOT NULL,
    replicaset_uid TEXT NOT NULL,
    seen_at        BIGINT NOT NULL,
    release_json   TEXT NOT NULL,
    policy_json    TEXT NOT NULL
);
CREATE INDEX releases_seen_at ON releases (seen_at);
CREATE INDEX releases_workload ON releases (namespace, workload, seen_at);
CREATE INDEX releases_judged ON releases (cluster, workload_uid);

CREATE TABLE verdicts (
    release_id   TEXT PRIMARY KEY REFERENCES releases (id),
    kind         TEXT NOT NULL,
    final        INTEGER NOT NULL,
    updated_at   BIGINT NOT NULL,
    verdict_json TEXT NOT NULL
);
CREATE INDEX verdicts_live ON verdicts (final, kind);

CREATE TABLE evidence (
    release_id    TEXT NOT NULL REFERENCES releases (id),
    position      INTEGER NOT NULL,
    evidence_json TEXT NOT NULL,
    curve_json    TEXT NOT NULL,
    PRIMARY KEY (release_id, position)
);

CREATE TABLE actions (
    action_key TEXT PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'done', 'void', 'refused', 'failed', 'waiting')),
    detail     TEXT NOT NULL,
    url        TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    plan_json  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX actions_release ON actions (release_id);

CREATE TABLE alerts (
    release_id       TEXT PRIMARY KEY REFERENCES releases (id),
    state            TEXT NOT NULL CHECK (state IN ('firing', 'resolving', 'resolved')),
    labels_json      TEXT NOT NULL,
    annotations_json TEXT NOT NULL,
    generator_url    TEXT NOT NULL,
    starts_at        BIGINT NOT NULL,
    posted_at        BIGINT,
    resolve_at       BIGINT
);
CREATE INDEX alerts_state ON alerts (state);

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    release_id TEXT NOT NULL,
    what       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    why        TEXT NOT NULL
);
CREATE INDEX audit_release ON audit (release_id, id);

-- +goose StatementBegin
CREATE TRIGGER audit_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are only ever added');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_never_removed BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are only ever added');
END;
-- +goose StatementEnd
