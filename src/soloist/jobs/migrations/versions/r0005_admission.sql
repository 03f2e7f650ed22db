-- What admission asks: how full each recorder is and for whom it records, live jobs by project, and jobs nobody takes.
-- A callback outlives its app until what waits for it is told or given up.

ALTER TABLE slots
    ADD COLUMN state VARCHAR(16) DEFAULT 'ok' NOT NULL,
    ADD COLUMN reason VARCHAR(128) DEFAULT '' NOT NULL,
    ADD COLUMN writing JSONB DEFAULT '{}' NOT NULL;

CREATE INDEX jobs_live_by_project ON jobs (project_id) WHERE state <> 'STOPPED';
CREATE INDEX jobs_untaken ON jobs (created_at) WHERE state = 'INIT';

ALTER TABLE record_callbacks
    DROP CONSTRAINT record_callbacks_app_id_fkey,
    ADD COLUMN retired BOOLEAN DEFAULT false NOT NULL;

-- What a recorder takes next from its queue, in order, however many wait and however old the statistics are.
CREATE INDEX soloist_work_in_order ON procrastinate_jobs (queue_name, priority DESC, id) WHERE status = 'todo';
