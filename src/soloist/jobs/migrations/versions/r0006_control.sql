-- What operators give can end: credentials by a time, tokens with the credential that asked for them, a join key that was
-- replaced by a time, a whole project. Who was removed from a room stays out of it with the token they had.

ALTER TABLE projects
    ADD COLUMN disabled_at TIMESTAMPTZ;

ALTER TABLE credentials
    ADD COLUMN expires_at TIMESTAMPTZ;

ALTER TABLE tokens
    ADD COLUMN created_at TIMESTAMPTZ,
    ADD COLUMN access_key VARCHAR(128),
    ADD CONSTRAINT tokens_access_key_fkey FOREIGN KEY (access_key) REFERENCES credentials (access_key) ON DELETE CASCADE;
CREATE INDEX tokens_by_access_key ON tokens (access_key);

ALTER TABLE apps
    ADD COLUMN old_join_key VARCHAR(64),
    ADD COLUMN old_join_key_until TIMESTAMPTZ;

CREATE TABLE bans (
    app_id VARCHAR(64) NOT NULL,
    room_id VARCHAR(64) NOT NULL,
    participant_id VARCHAR(64) NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, room_id, participant_id),
    FOREIGN KEY(app_id) REFERENCES apps (app_id) ON DELETE CASCADE
);
CREATE INDEX bans_by_age ON bans (app_id, since);
