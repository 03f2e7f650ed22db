"""For whom a recorder records at this moment: what it tells of itself with each renewal of its slot."""

from collections import Counter
from collections.abc import Iterable, Mapping

from soloist.model.job import Job
from soloist.sources.rooms import PublishedStream


def writing_by_project(jobs: Iterable[Job], streams: Iterable[PublishedStream]) -> Mapping[str, int]:
    """Return how many of these jobs record somebody who publishes, by project; those that wait cost nobody anything."""
    published = {(stream.key.app_id, stream.key.room_id, stream.key.participant_id) for stream in streams}
    writing = (job for job in jobs if job.is_live and (job.app_id, job.room_id, job.participant_id) in published)
    return Counter(job.project_id for job in writing)
