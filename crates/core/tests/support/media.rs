//! Pictures and sounds just real enough for the depacketizers, each carrying its number.

use std::time::Duration;

use soloist_core::Codec;

use super::Rig;

/// x264's parameter sets for 320x180, baseline.
pub const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03,
    0xc0, 0xf1, 0x42, 0xa4, 0x80,
];
pub const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
pub const VIDEO_TICKS: u64 = 3_000;
pub const AUDIO_TICKS: u64 = 960;

/// Return picture `number`; a few packets long, and recognisable.
pub fn picture(codec: Codec, number: u32, is_keyframe: bool) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    // No zero bytes, so that H.264 needs no emulation prevention.
    for byte in &mut body {
        *byte |= 0x40;
    }
    body.extend(number.to_string().bytes());
    body.resize(if is_keyframe { 6_000 } else { 2_500 }, 0x55);
    match codec {
        Codec::H264 => h264(&body, is_keyframe, is_keyframe),
        Codec::Vp9 => vp9(&body, is_keyframe),
        _ => vp8(&body, is_keyframe),
    }
}

/// Return an H.264 access unit in Annex B.
pub fn h264(body: &[u8], is_keyframe: bool, has_parameter_sets: bool) -> Vec<u8> {
    let mut unit = Vec::new();
    if has_parameter_sets {
        for set in [SPS, PPS] {
            unit.extend([0, 0, 0, 1]);
            unit.extend(set);
        }
    }
    unit.extend([0, 0, 0, 1, if is_keyframe { 0x65 } else { 0x41 }]);
    unit.extend(body);
    unit
}

/// Return a VP8 frame, 640x360 if it is a keyframe.
pub fn vp8(body: &[u8], is_keyframe: bool) -> Vec<u8> {
    let mut frame = if is_keyframe {
        vec![0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]
    } else {
        vec![0x51, 0x42, 0x00]
    };
    frame.extend(body);
    frame
}

/// Return a VP9 profile 0 frame, 320x180 if it is a keyframe.
pub fn vp9(body: &[u8], is_keyframe: bool) -> Vec<u8> {
    let mut frame =
        if is_keyframe { vec![0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30] } else { vec![0x86, 0x00] };
    frame.extend(body);
    frame
}

pub fn sound(number: u32) -> Vec<u8> {
    let mut packet = vec![0xfc];
    packet.extend(number.to_be_bytes());
    packet.resize(80, 0x77);
    packet
}

/// Stand for a frame's content in comparisons, so that a failure prints numbers and not pictures.
pub fn digest(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// What was sent, as digests.
#[derive(Default)]
pub struct Sent {
    pub pictures: Vec<u64>,
    pub sounds: Vec<u64>,
}

/// Publish 30 pictures and 50 sounds a second; a keyframe every `keyframe_every` pictures and whenever one is asked for.
pub fn publish(rig: &mut Rig, codec: Codec, seconds: u32, keyframe_every: u32, first_ticks: u64) -> Sent {
    let mut sent = Sent::default();
    let (mut next_picture, mut next_sound) = (0_u32, 0_u32);
    let mut answered = rig.keyframe_requests.len();
    for ms in 0..seconds * 1_000 {
        if u64::from(ms) * 30 >= u64::from(next_picture) * 1_000 {
            let is_asked = rig.keyframe_requests.len() > answered;
            answered = rig.keyframe_requests.len();
            let is_keyframe = is_asked || next_picture % keyframe_every == 0;
            let data = picture(codec, next_picture, is_keyframe);
            rig.send_video(codec, None, first_ticks + u64::from(next_picture) * VIDEO_TICKS, &data);
            sent.pictures.push(digest(&data));
            next_picture += 1;
        }
        if ms % 20 == 0 {
            let data = sound(next_sound);
            rig.send_audio(first_ticks + u64::from(next_sound) * AUDIO_TICKS, &data);
            sent.sounds.push(digest(&data));
            next_sound += 1;
        }
        rig.run_for(Duration::from_millis(1));
    }
    rig.run_for(Duration::from_secs(3));
    sent
}
