"""A thousand jobs at a stroke: accepted as the API accepts them, for rooms in which nobody will ever publish."""

import psycopg

_PROJECT = """
    INSERT INTO projects (project_id) VALUES (%(project)s) ON CONFLICT DO NOTHING
"""

_JOBS = """
    INSERT INTO jobs (job_id, project_id, app_id, room_id, participant_id, with_audio, video, tier, idle_timeout,
        rule_id, rule, state, created_at, updated_at, started_at, slot, event_seq)
    SELECT md5(%(project)s || number), %(project)s, 'app-' || %(project)s, 'room' || number, 'nobody', with_audio,
        video, tier, interval '1 hour', rule_id, rule, 'INIT', now(), now(), now(), slot, 0
    FROM jobs, generate_series(1, %(count)s) AS number WHERE job_id = %(like)s
"""

_WORK = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, args)
    SELECT 'slot:' || slot, 'record', 1 - row_number() OVER (), job_id, jsonb_build_object('job_id', job_id)
    FROM jobs WHERE project_id = %(project)s AND engine_id IS NULL
"""

_LINK = """
    UPDATE jobs SET engine_id = work.id FROM procrastinate_jobs AS work
    WHERE jobs.project_id = %(project)s AND work.lock = jobs.job_id
"""


def start_many(database_url: str, project: str, count: int, *, like: str) -> None:
    """Start `count` jobs of a project of its own, in rooms of the recorder that has the job `like`."""
    values = {"project": project, "count": count, "like": like}
    with psycopg.connect(database_url, options="-c search_path=public,procrastinate") as connection:
        for statement in (_PROJECT, _JOBS, _WORK, _LINK):
            connection.execute(statement, values)
