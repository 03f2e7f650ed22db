"""Every attack that is tried, with the metrics that tell the operator of it."""

from attack import media, requests, tenants
from attack.plan import Attack

ATTACKS = (
    Attack("S1a", "forged DTLS records", media.forged_records, sees=("soloist_media_datagrams_forged",)),
    Attack("S1b", "forged RTP and RTCP", media.forged_media, sees=("soloist_media_datagrams_forged",)),
    Attack("S2", "1,000 idle jobs", tenants.idle_jobs, tenants.idle_jobs_before, sees=("soloist_jobs",)),
    Attack("S3", "costly offers", requests.costly_offers, sees=("soloist_http_requests",)),
    Attack("S4", "25,000 packets/s", media.tiny_packets(25_000), sees=("soloist_media_packets_refused",)),
    Attack("S4", "60,000 packets/s", media.tiny_packets(60_000), sees=("soloist_media_packets_refused",)),
    Attack("S5", "300 changes a second", media.changing_pictures, sees=("soloist_files_refused",)),
    Attack(
        "S6",
        "500 ghosts in a room",
        tenants.ghosts,
        sees=("soloist_publishers_pending_replaced", "soloist_publishers_refused"),
    ),
    Attack(
        "S6",
        "1,000 haunted rooms",
        tenants.empty_rooms,
        sees=("soloist_publishers_pending", "soloist_publishers_refused"),
    ),
    Attack("S7", "foreign buckets", tenants.foreign_bucket, sees=("soloist_http_requests",)),
    Attack("S10", "slow bodies", requests.slow_bodies, sees=("soloist_http_refused",)),
    Attack("S10", "heads of 69 MB", requests.long_head, sees=("soloist_http_refused",)),
    Attack("S10", "600 ask for health", requests.health_crowd, sees=("soloist_http_requests",)),
    Attack("S10", "1,500 idle connections", requests.idle_crowd, sees=("soloist_http_refused",)),
    Attack("S11", "wrong signatures", requests.bad_signatures, sees=("soloist_http_refused",)),
    Attack("S12", "200 idle forwards", tenants.forwarders, sees=("soloist_forward_waiting", "soloist_jobs")),
    Attack("S12", "a huge picture", tenants.huge_picture, sees=("soloist_pictures_refused",)),
    Attack("S13", "512 idle ICE-TCP", requests.idle_ice_tcp, sees=("soloist_media_tcp_refused",)),
    Attack("S13", "400 slow downloads", requests.slow_downloads, sees=("soloist_downloads_refused",)),
    Attack("S13", "refused requests", requests.refusals, sees=("soloist_http_refused",)),
    Attack("S14", "a leaping clock", media.leaping_clock, sees=("soloist_clocks_leapt",)),
    Attack("S14", "side doors", tenants.side_doors, sees=("soloist_http_refused",)),
)
