//! Well-formed input to start from: what publishers really send, byte by byte.

use crate::plain::HMAC;
use crate::rig::{AUDIO_SSRC, REPAIR_SSRC, VIDEO_SSRC, packed};

/// Payload types of str0m's own offer.
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;
pub const VP8: u8 = 96;
pub const VP8_RTX: u8 = 97;
pub const H264: u8 = 127;
pub const VP9: u8 = 98;
pub const AV1: u8 = 45;

/// Stands for the session's user fragment in a seed.
pub const UFRAG: &[u8] = b"UFRAG_OF_SESSION";

const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03,
    0xc0, 0xf1, 0x42, 0xa4, 0x80,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
const VP8_KEYFRAME: &[u8] = &[0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 0x55, 0x55, 0x55];
const VP8_DELTA: &[u8] = &[0x51, 0x42, 0x00, 0x55, 0x55];
const VP9_KEYFRAME: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30, 0x55, 0x55];
/// A sequence header OBU (1280x720, main profile) and the start of a frame.
const AV1_SEQUENCE: &[u8] = &[0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x3f, 0xfe, 0xcc, 0x10];

/// Return an RTP packet. Spec: RFC 3550 §5.1.
pub fn rtp(pt: u8, sequence: u16, ticks: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0x80 | pt];
    packet.extend(sequence.to_be_bytes());
    packet.extend(ticks.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn video(pt: u8, payloads: &[Vec<u8>]) -> Vec<u8> {
    let packets: Vec<Vec<u8>> = (0_u16..)
        .zip(payloads)
        .map(|(number, payload)| rtp(pt, 100 + number, 3_000 * u32::from(number), VIDEO_SSRC, payload))
        .collect();
    packed(&packets)
}

/// Frames of every codec, whole, fragmented, aggregated, redundant and retransmitted.
pub fn rtp_seeds() -> Vec<Vec<u8>> {
    let stap = joined(&[&[0x78, 0, 24], SPS, &[0, 5], PPS, &[0, 4, 0x65, 0x88, 0x84, 0x00]]);
    let fu = |flags: u8| vec![0x7c, flags | 5, 0x88, 0x84, 0x55];
    let vp8 = |body: &[u8]| joined(&[&[0x90, 0x80, 0x81, 0x23], body]);
    let vp9 = joined(&[&[0x8c, 0x81, 0x23], VP9_KEYFRAME]);
    let vp9_scalable = joined(&[&[0xba, 0x81, 0x23, 0x00, 0x18, 0x05, 0x00, 0x02, 0xd0], VP9_KEYFRAME]);
    let av1 = joined(&[&[0x18], AV1_SEQUENCE, &[0x32, 0x10, 0x00, 0x55]]);
    let av1_fragments = [joined(&[&[0x58], AV1_SEQUENCE]), vec![0x90, 0x30, 0x55, 0x55]];
    let opus = |sequence: u16| rtp(OPUS, sequence, 960 * u32::from(sequence), AUDIO_SSRC, &[0xfc, 0xff, 0xfe, 0x11]);
    let red_block = [0x80 | OPUS, 0x0f, 0x00, 0x02, OPUS, 0xfc, 0xff, 0xfc, 0xff, 0xfe];
    let extended = joined(&[
        &[
            0x90,
            0x80 | VP8,
            0,
            7,
            0,
            0,
            0,
            9,
            0,
            0,
            0x20,
            0x01,
            0xbe,
            0xde,
            0,
            2,
            0x32,
            0,
            1,
            0,
            0x42,
            b'v',
            b'i',
            b'd',
        ],
        &vp8(VP8_KEYFRAME),
    ]);
    let padded = joined(&[&[0xa0, 0x80 | OPUS, 0, 9, 0, 0, 0, 1, 0, 0, 0x10, 0x01, 0xfc, 0xff, 0, 0, 3]]);
    let repaired = [
        rtp(VP8, 200, 0, VIDEO_SSRC, &vp8(VP8_KEYFRAME)),
        rtp(VP8, 202, 6_000, VIDEO_SSRC, &vp8(VP8_DELTA)),
        rtp(VP8_RTX, 1, 3_000, REPAIR_SSRC, &joined(&[&[0, 201], &vp8(VP8_DELTA)])),
    ];
    vec![
        video(H264, &[stap.clone(), fu(0x80), fu(0), fu(0x40), vec![0x41, 0x9a, 0x00]]),
        video(H264, &[SPS.to_vec(), PPS.to_vec(), vec![0x65, 0x88, 0x84, 0x00]]),
        video(VP8, &[vp8(VP8_KEYFRAME), vp8(VP8_DELTA), vp8(VP8_DELTA)]),
        video(VP9, &[vp9, vp9_scalable]),
        video(AV1, &[av1]),
        video(AV1, &av1_fragments),
        packed(&[opus(1), opus(2), opus(4)]),
        packed(&[rtp(RED, 5, 4_800, AUDIO_SSRC, &red_block)]),
        packed(&[extended]),
        packed(&[padded]),
        packed(&repaired),
        packed(&[rtp(H264, 1, 1, 0xdead_beef, &stap), opus(0xffff), opus(0)]),
    ]
}

/// Return a packet of redundant sound, its time that of 20 ms a packet.
pub fn red_packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    rtp(RED, sequence, 960 * u32::from(sequence), AUDIO_SSRC, payload)
}

/// Packets with no, one and two blocks of redundancy, with one or several packets left out between them.
/// Spec: RFC 2198 §3.
pub fn red_seeds() -> Vec<Vec<u8>> {
    let block = |back: u16| {
        let [high, low] = ((back * 960) << 2).to_be_bytes();
        [0x80 | OPUS, high, low, 4]
    };
    let sound = [0xfc, 0x11, 0x22, 0x33];
    let plain = joined(&[&[OPUS], &sound]);
    let single = joined(&[&block(1), &[OPUS], &sound, &sound]);
    let double = joined(&[&block(2), &block(1), &[OPUS], &sound, &sound, &sound]);
    let run = |parts: &[(u8, &[u8])]| {
        let parts = parts
            .iter()
            .map(|(skipped, payload)| joined(&[&[*skipped, u8::try_from(payload.len()).unwrap_or(u8::MAX)], payload]));
        parts.collect::<Vec<_>>().concat()
    };
    vec![
        run(&[(0, &plain), (0, &single), (1, &single), (0, &single)]),
        run(&[(0, &double), (2, &double), (1, &double), (0, &double)]),
        run(&[(0, &single), (5, &double), (0, &plain), (15, &single)]),
    ]
}

/// Reports and feedback, alone and compound. Spec: RFC 3550 §6.4-6.7, RFC 4585 §6, RFC 8888.
pub fn rtcp_seeds() -> Vec<Vec<u8>> {
    let ssrc = VIDEO_SSRC.to_be_bytes();
    let report =
        joined(&[&[0x80, 200, 0, 6], &ssrc, &[0xe9, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0, 0, 0, 1, 0, 0, 0, 9]]);
    let with_block = joined(&[
        &[0x81, 200, 0, 12],
        &ssrc,
        &[0xe9, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0, 0, 0, 1, 0, 0, 0, 9],
        &[0, 0, 0x10, 1, 0x0c, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 4, 0, 1, 0, 2, 0, 0, 1, 0],
    ]);
    let description = joined(&[&[0x81, 202, 0, 3], &ssrc, &[1, 3, b'a', b'b', b'c', 0, 0, 0]]);
    let goodbye = joined(&[&[0x81, 203, 0, 1], &ssrc]);
    let receiver_report = joined(&[&[0x80, 201, 0, 1], &ssrc]);
    let lost = joined(&[&[0x81, 205, 0, 3], &ssrc, &AUDIO_SSRC.to_be_bytes(), &[0, 1, 0xff, 0xff]]);
    let transport =
        joined(&[&[0x8f, 205, 0, 5], &ssrc, &AUDIO_SSRC.to_be_bytes(), &[0, 1, 0, 2, 0, 0, 1, 0, 0x20, 2, 4, 8]]);
    let picture_loss = joined(&[&[0x81, 206, 0, 2], &ssrc, &AUDIO_SSRC.to_be_bytes()]);
    let bandwidth =
        joined(&[&[0x8f, 206, 0, 5], &ssrc, &[0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 3, 0xff, 0xff], &ssrc]);
    let extended = joined(&[&[0x80, 207, 0, 4], &ssrc, &[4, 0, 0, 2, 0xe9, 0, 0, 0, 0x80, 0, 0, 0]]);
    let application = joined(&[&[0x80, 204, 0, 2], &ssrc, b"name"]);
    let compound = [report.clone(), description.clone(), goodbye.clone()].concat();
    [
        report,
        with_block,
        description,
        goodbye,
        receiver_report,
        lost,
        transport,
        picture_loss,
        bandwidth,
        extended,
        application,
        compound,
    ]
    .map(|packet| packed(&[packet]))
    .into()
}

/// Binding requests as ICE agents send them. Spec: RFC 8489 §5, RFC 8445 §7.1.
pub fn stun_seeds() -> Vec<Vec<u8>> {
    let name = [UFRAG, b":abcd"].concat();
    let padding = vec![0; name.len().next_multiple_of(4) - name.len()];
    let username = joined(&[&[0, 6], &u16::try_from(name.len()).unwrap_or(0).to_be_bytes(), &name, &padding]);
    let priority = [0, 0x24, 0, 4, 0x6e, 0x7f, 0x1e, 0xff];
    let controlling = [0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let nominated = [0, 0x25, 0, 0];
    let network_cost = [0xc0, 0x57, 0, 4, 0, 1, 0, 10];
    let software = joined(&[&[0x80, 0x22, 0, 4], b"test"]);
    let mapped = [0, 0x20, 0, 8, 0, 1, 0x33, 0x2a, 0x2b, 0x12, 0xa4, 0x43];
    let integrity = joined(&[&[0, 8, 0, 20], &HMAC]);
    let fingerprint = [0x80, 0x28, 0, 4, 1, 2, 3, 4];
    let message = |kind: u16, attributes: &[&[u8]]| {
        let body = attributes.concat();
        let length = u16::try_from(body.len()).unwrap_or(0);
        let head = [&kind.to_be_bytes()[..], &length.to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], b"transaction1"];
        [head.concat(), body].concat()
    };
    let request = message(1, &[&username, &priority, &controlling, &nominated, &integrity, &fingerprint]);
    let chatty = message(1, &[&username, &network_cost, &software, &priority, &controlling, &integrity, &fingerprint]);
    vec![
        packed(std::slice::from_ref(&request)),
        packed(&[chatty, request.clone()]),
        packed(&[message(1, &[&username, &integrity])]),
        packed(&[message(1, &[&priority, &fingerprint])]),
        packed(&[message(0x101, &[&mapped, &integrity, &fingerprint])]),
        packed(&[message(0x111, &[&[0, 9, 0, 4, 0, 0, 4, 1], &fingerprint])]),
        packed(&[message(0x11, &[&fingerprint])]),
        packed(&[request, rtp(VP8, 1, 1, VIDEO_SSRC, VP8_KEYFRAME)]),
    ]
}

/// First byte: the codec; then a picture as the depacketizers leave it.
pub fn picture_seeds() -> Vec<Vec<u8>> {
    const START: &[u8] = &[0, 0, 0, 1];
    let high = [0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10];
    vec![
        joined(&[&[0], START, SPS, START, PPS, START, &[0x65, 0x88]]),
        joined(&[&[0], START, &high, START, PPS, &[0, 0, 1, 0x65, 0x88]]),
        joined(&[&[0], START, &[0x09, 0xf0], START, &[0x65, 0x88]]),
        joined(&[&[1], VP8_KEYFRAME]),
        joined(&[&[2], VP9_KEYFRAME]),
        joined(&[&[2], &[0x92, 0x49, 0x83, 0x42, 0x00, 0x20, 0x13, 0xf0, 0x0b, 0x30]]),
        joined(&[&[3], &[0x12, 0x00], AV1_SEQUENCE, &[0x32, 0x02, 0x10, 0x00]]),
        joined(&[&[4], &[0xfc, 0xff, 0xfe]]),
    ]
}
