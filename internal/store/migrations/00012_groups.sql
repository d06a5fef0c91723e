-- +goose Up

-- What one receiver is told of together: one group of a key is open at a time.
CREATE TABLE message_groups (
    id          TEXT PRIMARY KEY,
    cluster     TEXT NOT NULL,
    group_key   TEXT NOT NULL,
    sink        TEXT NOT NULL,
    release_id  TEXT NOT NULL REFERENCES releases (id),
    wait_ms     BIGINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    ended_at    BIGINT
);
CREATE UNIQUE INDEX message_groups_open ON message_groups (cluster, group_key, sink) WHERE ended_at IS NULL;
CREATE INDEX message_groups_release ON message_groups (release_id);

-- A release is in one group of a receiver, the last that it came into.
CREATE TABLE message_members (
    release_id   TEXT NOT NULL REFERENCES releases (id),
    sink         TEXT NOT NULL,
    group_id     TEXT NOT NULL REFERENCES message_groups (id),
    joined_at    BIGINT NOT NULL,
    told         TEXT NOT NULL,
    opening_json TEXT NOT NULL,
    PRIMARY KEY (release_id, sink)
);
CREATE INDEX message_members_group ON message_members (group_id);
