-- The rest of the contract: automatic recording, suspended jobs, record callbacks and what is to be told by them.

ALTER TABLE apps
    ADD COLUMN auto_rule_id VARCHAR(128),
    ADD COLUMN auto_since TIMESTAMPTZ,
    ADD COLUMN auto_changed_at TIMESTAMPTZ,
    ADD COLUMN state_changed_at TIMESTAMPTZ;

ALTER TABLE tokens
    ADD COLUMN expires_at TIMESTAMPTZ;

ALTER TABLE jobs
    ADD COLUMN automatic BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN suspended BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE files
    ADD COLUMN location VARCHAR(64) DEFAULT '' NOT NULL,
    ADD COLUMN bucket VARCHAR(256) DEFAULT '' NOT NULL,
    ADD COLUMN stem VARCHAR(2048) DEFAULT '' NOT NULL;

CREATE INDEX files_by_stem ON files (location, bucket, stem);
CREATE UNIQUE INDEX files_one_open_per_stem ON files (location, bucket, stem)
    WHERE state = 'STARTED' AND stem <> '';

CREATE INDEX jobs_by_room ON jobs (app_id, room_id);

CREATE TABLE record_callbacks (
    app_id VARCHAR(64) NOT NULL,
    url VARCHAR(1024) NOT NULL,
    auth_key VARCHAR(64) DEFAULT '' NOT NULL,
    paused BOOLEAN DEFAULT false NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id),
    FOREIGN KEY(app_id) REFERENCES apps (app_id) ON DELETE CASCADE
);

CREATE TABLE deliveries (
    job_id VARCHAR(64) NOT NULL,
    seq INTEGER NOT NULL,
    app_id VARCHAR(64) NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    next_at TIMESTAMPTZ NOT NULL,
    settled_at TIMESTAMPTZ,
    last_error VARCHAR(256) DEFAULT '' NOT NULL,
    PRIMARY KEY (job_id, seq),
    FOREIGN KEY(job_id, seq) REFERENCES job_events (job_id, seq) ON DELETE CASCADE
);

CREATE INDEX deliveries_waiting ON deliveries (next_at) WHERE state = 'WAITING';
CREATE INDEX deliveries_by_app ON deliveries (app_id, created_at);

CREATE TABLE bucket_owners (
    location VARCHAR(64) NOT NULL,
    bucket VARCHAR(256) NOT NULL,
    project_id VARCHAR(128) NOT NULL,
    PRIMARY KEY (location, bucket),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE TABLE revoked_buckets (
    project_id VARCHAR(128) NOT NULL,
    location VARCHAR(64) NOT NULL,
    bucket VARCHAR(256) NOT NULL,
    PRIMARY KEY (project_id, location, bucket),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE INDEX job_events_by_time ON job_events (at);
