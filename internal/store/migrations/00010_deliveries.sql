-- +goose Up

ALTER TABLE actions ADD COLUMN sink TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN expires_at BIGINT;
ALTER TABLE actions ADD COLUMN pending_since BIGINT NOT NULL DEFAULT 0;
UPDATE actions SET pending_since = created_at;
UPDATE actions SET waits_for = 'approval' WHERE state = 'waiting';
CREATE INDEX actions_state ON actions (state, updated_at);

-- What one receiver was told of a release, or of an incident, and has yet to be told.
CREATE TABLE deliveries (
    action_key   TEXT PRIMARY KEY REFERENCES actions (action_key),
    release_id   TEXT NOT NULL,
    sink         TEXT NOT NULL,
    sequence     BIGINT NOT NULL,
    opening_json TEXT NOT NULL,
    told         TEXT NOT NULL,
    told_seq     BIGINT NOT NULL,
    ref          TEXT NOT NULL
);
CREATE INDEX deliveries_release ON deliveries (release_id);

-- What became of a release after its verdict.
CREATE TABLE aftermaths (
    release_id      TEXT PRIMARY KEY REFERENCES releases (id),
    restored_state  TEXT NOT NULL,
    restored_detail TEXT NOT NULL,
    restored_at     BIGINT,
    closed          TEXT NOT NULL
);
