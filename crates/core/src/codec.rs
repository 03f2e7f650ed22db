//! The codings the core can receive, and how SDP spells them.

use str0m::format::Codec as RtcCodec;
use str0m::media::Frequency;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
}

impl Kind {
    /// Return the SDP media name, which is also the name Python sees.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// A coding that can be kept without decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    Vp8,
    Vp9,
    Av1,
    Opus,
}

impl Codec {
    pub const VIDEO: [Self; 4] = [Self::H264, Self::Vp8, Self::Vp9, Self::Av1];

    /// Return the codec Python or an `a=rtpmap` line means, in any letter case; None if we do not record it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "h264" => Some(Self::H264),
            "vp8" => Some(Self::Vp8),
            "vp9" => Some(Self::Vp9),
            "av1" => Some(Self::Av1),
            "opus" => Some(Self::Opus),
            _ => None,
        }
    }

    /// Return the name Python sees.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Opus => "opus",
        }
    }

    pub const fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            _ => Kind::Video,
        }
    }

    /// Return the RTP clock rate in Hz. Spec: RFC 6184 §8.2.1, RFC 7587 §4.1.
    pub const fn rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }

    pub(crate) const fn rtc(self) -> RtcCodec {
        match self {
            Self::H264 => RtcCodec::H264,
            Self::Vp8 => RtcCodec::Vp8,
            Self::Vp9 => RtcCodec::Vp9,
            Self::Av1 => RtcCodec::Av1,
            Self::Opus => RtcCodec::Opus,
        }
    }

    pub(crate) const fn from_rtc(codec: RtcCodec) -> Option<Self> {
        match codec {
            RtcCodec::H264 => Some(Self::H264),
            RtcCodec::Vp8 => Some(Self::Vp8),
            RtcCodec::Vp9 => Some(Self::Vp9),
            RtcCodec::Av1 => Some(Self::Av1),
            RtcCodec::Opus => Some(Self::Opus),
            _ => None,
        }
    }

    pub(crate) const fn frequency(self) -> Frequency {
        match self {
            Self::Opus => Frequency::FORTY_EIGHT_KHZ,
            _ => Frequency::NINETY_KHZ,
        }
    }
}
