"""What settings say of bounds, in the terms of those who keep them."""

from soloist.model.admission import Quota, Shares
from soloist.service.connections import Connections
from soloist.service.descriptors import connections_within
from soloist.service.settings import Settings


def connections_of(settings: Settings) -> Connections:
    """Return what bounds the API's connections: as many as wanted, or as this process may open files for."""
    return Connections(
        total_max=connections_within(settings.connections_max),
        per_source_max=settings.connections_per_address_max,
        proxies=settings.trusted_proxies,
    )


def shares_of(settings: Settings) -> Shares:
    """Return what a project and a recorder may have, and what a project may keep."""
    quota = Quota(
        settings.project_jobs_max,
        settings.project_files_max,
        settings.project_gigabytes_max,
        settings.project_hours_max,
    )
    shares = (settings.live_jobs_max, settings.recordings_per_project_max, settings.jobs_per_recorder_max)
    return Shares(*shares, quota=quota)
