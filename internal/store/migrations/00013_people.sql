-- +goose Up

-- Who asked for an action that the policy would not have done.
ALTER TABLE actions ADD COLUMN asked_by TEXT NOT NULL DEFAULT '';

-- Until when a receiver is told nothing but the end.
ALTER TABLE deliveries ADD COLUMN snoozed_until BIGINT;

-- Who said that the verdict is wrong, and what a person did last to the incident elsewhere.
ALTER TABLE aftermaths ADD COLUMN wrong_at BIGINT;
ALTER TABLE aftermaths ADD COLUMN wrong_by TEXT NOT NULL DEFAULT '';
ALTER TABLE aftermaths ADD COLUMN wrong_why TEXT NOT NULL DEFAULT '';
ALTER TABLE aftermaths ADD COLUMN ack_what TEXT NOT NULL DEFAULT '';
ALTER TABLE aftermaths ADD COLUMN ack_who TEXT NOT NULL DEFAULT '';
ALTER TABLE aftermaths ADD COLUMN ack_where TEXT NOT NULL DEFAULT '';
ALTER TABLE aftermaths ADD COLUMN ack_at BIGINT;
ALTER TABLE incidents ADD COLUMN ack_what TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN ack_who TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN ack_where TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN ack_at BIGINT;

-- The pace that every process keeps to at a place outside, such as a channel.
CREATE TABLE paces (
    place      TEXT PRIMARY KEY,
    next_at    BIGINT NOT NULL,
    taken_at   BIGINT NOT NULL,
    held_until BIGINT NOT NULL
);
