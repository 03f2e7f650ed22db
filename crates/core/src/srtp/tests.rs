//! The guard with every profile, and with the vectors of RFC 7714.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use soloist_dtls::Keys;
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{AeadAes128Gcm, SrtpProvider, from_feature_flags};

use super::keys::{Gcm, Key, Protocol};
use super::{Guard, Judgement, Streams};
use crate::rtp::RtpHeader;

const PROFILES: [(SrtpProfile, usize); 3] = [
    (SrtpProfile::AES128_CM_SHA1_80, 2 * (16 + 14)),
    (SrtpProfile::AEAD_AES_128_GCM, 2 * (16 + 12)),
    (SrtpProfile::AEAD_AES_256_GCM, 2 * (32 + 12)),
];

fn keys(profile: SrtpProfile, length: usize, is_peer_client: bool) -> Keys {
    Keys { material: (0..=255).take(length).collect(), profile, is_peer_client }
}

fn guard(profile: SrtpProfile, length: usize) -> Guard {
    Guard::new(&from_feature_flags(), &keys(profile, length, true)).expect("the profile is ours")
}

/// Protect as the publisher does. What is encrypted is of no account here, so the sealed part is empty but for its tag.
fn protected(key: &mut Key, head: &[u8], counter: u32, iv: [u8; 12]) -> Vec<u8> {
    match key {
        Key::Hmac { key, sha1 } => {
            let counter = counter.to_be_bytes();
            let digest = sha1.sha1_hmac(key, &[head, &counter]);
            [head, &digest[..10]].concat()
        }
        Key::Gcm { cipher, .. } => {
            let mut tag = vec![0; 16];
            match cipher {
                Gcm::Short(cipher) => cipher.encrypt(&iv, head, &[], &mut tag).expect("it encrypts"),
                Gcm::Long(cipher) => cipher.encrypt(&iv, head, &[], &mut tag).expect("it encrypts"),
            }
            [head, &tag].concat()
        }
    }
}

/// The same key for encryption; the provider prepares a cipher for one direction.
fn sender(profile: SrtpProfile, length: usize, protocol: Protocol) -> Key {
    #[derive(Debug)]
    struct Encrypting;
    impl str0m::crypto::SupportedAeadAes128Gcm for Encrypting {
        fn create_cipher(&self, key: [u8; 16], _: bool) -> Box<dyn str0m::crypto::AeadAes128GcmCipher> {
            from_feature_flags().srtp_provider.aead_aes_128_gcm().create_cipher(key, true)
        }
    }
    impl str0m::crypto::SupportedAeadAes256Gcm for Encrypting {
        fn create_cipher(&self, key: [u8; 32], _: bool) -> Box<dyn str0m::crypto::AeadAes256GcmCipher> {
            from_feature_flags().srtp_provider.aead_aes_256_gcm().create_cipher(key, true)
        }
    }
    impl SrtpProvider for Encrypting {
        fn aes_128_cm_sha1_80(&self) -> &'static dyn str0m::crypto::SupportedAes128CmSha1_80 {
            from_feature_flags().srtp_provider.aes_128_cm_sha1_80()
        }
        fn aead_aes_128_gcm(&self) -> &'static dyn str0m::crypto::SupportedAeadAes128Gcm {
            &Encrypting
        }
        fn aead_aes_256_gcm(&self) -> &'static dyn str0m::crypto::SupportedAeadAes256Gcm {
            &Encrypting
        }
        fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
            from_feature_flags().srtp_provider.srtp_aes_128_ecb_round(key, input, output);
        }
        fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
            from_feature_flags().srtp_provider.srtp_aes_256_ecb_round(key, input, output);
        }
    }
    let mut provider = from_feature_flags();
    provider.srtp_provider = &Encrypting;
    Key::of_peer(&provider, &keys(profile, length, true), protocol).expect("the profile is ours")
}

fn rtp(key: &mut Key, ssrc: u32, index: u32) -> Vec<u8> {
    let (number, roc) = (u16::try_from(index & 0xffff).unwrap_or(0), index >> 16);
    let mut head = vec![0x90, 96];
    head.extend(number.to_be_bytes());
    head.extend([0, 0, 0, 1]);
    head.extend(ssrc.to_be_bytes());
    head.extend([0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0]);
    let iv = if let Key::Gcm { salt, .. } = key { AeadAes128Gcm::rtp_iv(*salt, ssrc, roc, number) } else { [0; 12] };
    protected(key, &head, roc, iv)
}

/// An SRTCP goodbye; with HMAC the index comes before the tag and is not encrypted either way.
fn rtcp(key: &mut Key, ssrc: u32, index: u32) -> Vec<u8> {
    let mut head = vec![0x81, 203, 0, 1];
    head.extend(ssrc.to_be_bytes());
    let marked = (index | 1 << 31).to_be_bytes();
    match key {
        Key::Hmac { key, sha1 } => {
            head.extend(marked);
            let digest = sha1.sha1_hmac(key, &[&head]);
            [&head[..], &digest[..10]].concat()
        }
        Key::Gcm { salt, .. } => {
            let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
            let sealed = protected(key, &[&head[..], &marked].concat(), 0, iv);
            [&head[..], &sealed[12..], &marked].concat()
        }
    }
}

fn judge(guard: &mut Guard, packet: &[u8]) -> char {
    let judgement = match RtpHeader::parse(packet) {
        Some(header) => guard.judge_rtp(header, packet),
        None => guard.judge_rtcp(packet),
    };
    match judgement {
        Judgement::Authentic(_) => 'a',
        Judgement::Repeated => 'r',
        Judgement::Forged => 'f',
    }
}

#[test]
fn a_packet_is_authentic_once_and_never_with_a_bit_turned_or_a_byte_missing() {
    for (profile, length) in PROFILES {
        for (protocol, make) in [(Protocol::Rtp, rtp as fn(&mut Key, u32, u32) -> Vec<u8>), (Protocol::Rtcp, rtcp)] {
            let (mut guard, mut key) = (guard(profile, length), sender(profile, length, protocol));
            let packet = make(&mut key, 7, 20);
            for at in 0..packet.len() * 8 {
                let mut turned = packet.clone();
                turned[at / 8] ^= 1 << (at % 8);
                assert_eq!(judge(&mut guard, &turned), 'f', "{profile:?} {protocol:?}, bit {at}");
            }
            for cut in 0..packet.len() {
                assert_eq!(judge(&mut guard, &packet[..cut]), 'f', "{profile:?} {protocol:?}, {cut} bytes");
            }
            assert_eq!(judge(&mut guard, &packet), 'a', "{profile:?} {protocol:?}");
            assert_eq!(judge(&mut guard, &packet), 'r', "{profile:?} {protocol:?}");
        }
    }
}

#[test]
fn forgeries_move_no_numbering() {
    for (profile, length) in PROFILES {
        let (mut guard, mut key) = (guard(profile, length), sender(profile, length, Protocol::Rtp));
        // The first packet of a stream may be one behind the first wrap, with what it has overtaken before it.
        for index in [65_537, 65_535, 65_536, 65_540] {
            for number in (0..65_536_u32).step_by(997) {
                let [high, low] = u16::try_from(number).unwrap_or(0).to_be_bytes();
                let mut forged = rtp(&mut key, 7, index);
                forged[2..4].copy_from_slice(&[high, low]);
                if forged != rtp(&mut key, 7, index) {
                    assert_ne!(judge(&mut guard, &forged), 'a', "{profile:?} {number}");
                }
            }
            let packet = rtp(&mut key, 7, index);
            assert_eq!(judge(&mut guard, &packet), 'a', "{profile:?} {index}");
        }
        let streams = guard.rtp_streams.ssrcs.clone();
        for ssrc in 100..300 {
            let mut forged = rtp(&mut key, 7, 65_541);
            forged[8..12].copy_from_slice(&u32::to_be_bytes(ssrc));
            assert_eq!(judge(&mut guard, &forged), 'f');
        }
        assert_eq!(guard.rtp_streams.ssrcs, streams);
    }
}

#[test]
fn our_own_keys_prove_nothing() {
    for (profile, length) in PROFILES {
        let ours = Guard::new(&from_feature_flags(), &keys(profile, length, false));
        let mut key = sender(profile, length, Protocol::Rtp);
        let packet = rtp(&mut key, 7, 20);
        assert_eq!(ours.map(|mut guard| judge(&mut guard, &packet)), Some('f'), "{profile:?}");
    }
}

#[test]
fn a_publisher_with_many_streams_fills_no_memory() {
    let mut streams = Streams::default();
    (0..10_000).for_each(|ssrc| streams.note(ssrc, 1));
    assert_eq!((streams.ssrcs.len(), streams.windows.len()), (super::STREAMS_MAX, super::STREAMS_MAX));
    assert!(streams.get(9_999).is_some() && streams.get(1).is_none());
}

/// Spec: RFC 7714 §16.1.1, §17.1, §17.3.
#[test]
fn the_standards_own_packets_are_authentic() {
    let key = |_: Protocol| {
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
        let cipher = from_feature_flags().srtp_provider.aead_aes_128_gcm().create_cipher(key, false);
        Key::Gcm { cipher: Gcm::Short(cipher), salt: *b"Quid pro quo" }
    };
    let mut guard = Guard {
        rtp: key(Protocol::Rtp),
        rtcp: key(Protocol::Rtcp),
        rtp_streams: Streams::default(),
        rtcp_streams: Streams::default(),
    };
    let rtp = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
               899d7f27beb16a9152cf765ee4390cce";
    let encrypted = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303d\
                     ed0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4";
    let plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefde\
                 adbeef841dd9683dd78ec92ae58790125f62b3000005d4";
    assert_eq!(judge(&mut guard, &bytes(rtp)), 'a');
    assert_eq!(judge(&mut guard, &bytes(encrypted)), 'a');
    guard.rtcp_streams = Streams::default();
    assert_eq!(judge(&mut guard, &bytes(plain)), 'a');
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)?.try_into().ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
