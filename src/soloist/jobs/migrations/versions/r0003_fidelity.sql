-- What recording fidelity needs: what an app wants of VP8, its snapshot in each job, and which tracks were transcoded.

ALTER TABLE apps
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL;

ALTER TABLE jobs
    ADD COLUMN transcoded JSONB,
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL;
