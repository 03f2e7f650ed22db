"""What the log tells of forged datagrams: a line a minute where many came, none for what a network damages."""

from structlog.testing import capture_logs

from soloist.sources.forgeries import INTERVAL_S, TOLD_MIN, Forgeries


def test_a_flood_of_forgeries_is_a_line_a_minute_and_a_damaged_packet_none():
    forgeries, counts = Forgeries(), {0: 0, 1: 5, 2: 5 + TOLD_MIN, 3: 5 + TOLD_MIN, 4: 10 * TOLD_MIN}
    with capture_logs() as lines:
        for second in range(5 * int(INTERVAL_S)):
            forgeries.look(counts[second // int(INTERVAL_S)], float(second))
    assert [(line["event"], line["count"]) for line in lines] == [
        ("datagrams_forged", TOLD_MIN),
        ("datagrams_forged", 9 * TOLD_MIN - 5),
    ]
