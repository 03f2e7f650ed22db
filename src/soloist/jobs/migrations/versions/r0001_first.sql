-- The first tables: accounts, rules, jobs with their files and events, recorder slots.

CREATE TABLE projects (
    project_id VARCHAR(128) NOT NULL,
    PRIMARY KEY (project_id)
);

CREATE TABLE slots (
    slot VARCHAR(128) NOT NULL,
    owner VARCHAR(128) NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (slot)
);

CREATE TABLE apps (
    app_id VARCHAR(64) NOT NULL,
    project_id VARCHAR(128) NOT NULL,
    app_name VARCHAR(256) NOT NULL,
    enabled BOOLEAN NOT NULL,
    join_key VARCHAR(64) NOT NULL,
    video_codecs VARCHAR(16)[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE TABLE credentials (
    access_key VARCHAR(128) NOT NULL,
    secret_key VARCHAR(256) NOT NULL,
    project_id VARCHAR(128) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (access_key),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE TABLE jobs (
    job_id VARCHAR(64) NOT NULL,
    project_id VARCHAR(128) NOT NULL,
    app_id VARCHAR(64) NOT NULL,
    room_id VARCHAR(64) NOT NULL,
    participant_id VARCHAR(64) NOT NULL,
    with_audio BOOLEAN NOT NULL,
    video VARCHAR(16),
    tier VARCHAR(8) NOT NULL,
    idle_timeout INTERVAL NOT NULL,
    rule_id VARCHAR(128) NOT NULL,
    rule JSONB NOT NULL,
    state VARCHAR(16) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    stopped_at TIMESTAMPTZ,
    stop_reason VARCHAR(32),
    description VARCHAR(128) DEFAULT '' NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    owner VARCHAR(128),
    slot VARCHAR(128) NOT NULL,
    engine_id BIGINT,
    event_seq INTEGER DEFAULT 0 NOT NULL,
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (job_id),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);
CREATE INDEX jobs_by_project ON jobs (project_id, created_at);
CREATE UNIQUE INDEX jobs_one_live_per_stream ON jobs (app_id, room_id, participant_id, coalesce(video, ''))
    WHERE state <> 'STOPPED';
CREATE INDEX jobs_unfinished ON jobs (slot)
    WHERE ended_at IS NULL;

CREATE TABLE tokens (
    token_sha256 VARCHAR(64) NOT NULL,
    project_id VARCHAR(128) NOT NULL,
    PRIMARY KEY (token_sha256),
    FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE TABLE files (
    job_id VARCHAR(64) NOT NULL,
    key VARCHAR(2048) NOT NULL,
    epoch INTEGER NOT NULL,
    format VARCHAR(8) NOT NULL,
    state VARCHAR(16) NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    size_bytes BIGINT,
    sha256 VARCHAR(64),
    duration_ms BIGINT,
    width INTEGER,
    height INTEGER,
    PRIMARY KEY (job_id, key),
    FOREIGN KEY(job_id) REFERENCES jobs (job_id) ON DELETE CASCADE
);

CREATE TABLE job_events (
    job_id VARCHAR(64) NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    type VARCHAR(32) NOT NULL,
    body JSONB NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (job_id, seq),
    FOREIGN KEY(job_id) REFERENCES jobs (job_id) ON DELETE CASCADE
);

CREATE TABLE record_rules (
    app_id VARCHAR(64) NOT NULL,
    rule_id VARCHAR(128) NOT NULL,
    location VARCHAR(64) NOT NULL,
    body JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, rule_id),
    CONSTRAINT record_rules_one_per_location UNIQUE (app_id, location),
    FOREIGN KEY(app_id) REFERENCES apps (app_id)
);
