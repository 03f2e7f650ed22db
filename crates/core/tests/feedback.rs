//! What a publisher hears of what became of its packets, by which it judges the path.

mod support;

use std::ops::Range;
use std::time::Duration;

use soloist_core::Datagram;
use soloist_core::net::Protocol;
use str0m::RtcConfig;
use str0m::rtp::RawPacket;
use str0m::rtp::rtcp::Rtcp;
use support::media::{AUDIO_TICKS, sound};
use support::network::Towards;
use support::{Rig, Scenario, publisher_address, receiver_address};

/// Send sounds, 10 ms apart, and have all of them read at once, each with the time of its arrival.
fn read_late(rig: &mut Rig, sounds: Range<u32>) {
    for number in sounds {
        rig.now += Duration::from_millis(10);
        rig.send_audio(u64::from(number) * AUDIO_TICKS, &sound(number));
    }
    while let Some(at) = rig.network.deadline() {
        while let Some((towards, datagram)) = rig.network.arrived(at) {
            assert_eq!(towards, Towards::Receiver);
            let (source, destination) = (publisher_address(), receiver_address());
            let datagram = Datagram { protocol: Protocol::Udp, source, destination, payload: &datagram };
            rig.engine.receive(at, datagram);
        }
    }
}

#[test]
fn congestion_reports_about_what_was_read_late_have_datagrams_of_their_own() {
    let config = RtcConfig::new().enable_raw_packets(true);
    let mut rig = Rig::connected(Scenario { config, ..Scenario::default() });
    for number in 0..20 {
        rig.send_audio(u64::from(number) * AUDIO_TICKS, &sound(number));
        rig.run_for(Duration::from_millis(20));
    }
    rig.raw_packets.clear();
    read_late(&mut rig, 20..50);
    rig.run_for(Duration::from_millis(200));

    let reports = rig.raw_packets.iter().filter_map(|packet| match packet {
        RawPacket::RtcpRx(Rtcp::Twcc(report)) => Some(report.base_seq),
        _ => None,
    });
    let begins: Vec<u16> = reports.collect();
    // str0m puts a report ahead of those that wait with it: any two of one datagram are in the wrong order.
    assert!(begins.len() > 5 && begins.is_sorted(), "{begins:?}");
}
