-- What recording fidelity needs: what an app wants of VP8, and its snapshot in each job.

ALTER TABLE apps
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL;

ALTER TABLE jobs
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL;
