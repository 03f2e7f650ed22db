//! What one direction of SRTP or SRTCP is verified with, derived from what the DTLS handshake exported.
//!
//! Spec: RFC 3711 §4.3 (derivation), RFC 5764 §4.2 (exported material), RFC 7714 (GCM), RFC 3711 §4.2 (HMAC-SHA1).

use std::fmt;

use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{
    AeadAes128Gcm, AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80, CryptoProvider, Sha1HmacProvider,
    SrtpProvider,
};

use soloist_dtls::Keys;

/// Length of the tag that GCM appends, bytes. Spec: RFC 7714 §12.
pub const GCM_TAG_BYTES: usize = AeadAes128Gcm::TAG_LEN;
/// Length of the truncated HMAC, bytes. Spec: RFC 3711 §5.2.
pub const HMAC_TAG_BYTES: usize = Aes128CmSha1_80::HMAC_TAG_LEN;
const GCM_SALT_BYTES: usize = AeadAes128Gcm::SALT_LEN;
const BLOCK_BYTES: usize = 16;

/// Which of a direction's two protocols. The labels are those of RFC 3711 §4.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Rtp,
    Rtcp,
}

impl Protocol {
    const fn labels(self) -> (u8, u8, u8) {
        match self {
            Self::Rtp => (0, 1, 2),
            Self::Rtcp => (3, 4, 5),
        }
    }
}

/// GCM of either key length.
pub enum Gcm {
    Short(Box<dyn AeadAes128GcmCipher>),
    Long(Box<dyn AeadAes256GcmCipher>),
}

impl Gcm {
    /// Decrypt into `plain`, which is as long as `input` without its tag; tell whether the tag was right.
    pub fn opens(&mut self, iv: &[u8; 12], aads: &[&[u8]], input: &[u8], plain: &mut [u8]) -> bool {
        match self {
            Self::Short(cipher) => cipher.decrypt(iv, aads, input, plain).is_ok(),
            Self::Long(cipher) => cipher.decrypt(iv, aads, input, plain).is_ok(),
        }
    }
}

/// What tells an authentic packet from others.
pub enum Key {
    Gcm { cipher: Gcm, salt: [u8; GCM_SALT_BYTES] },
    Hmac { key: [u8; Aes128CmSha1_80::HMAC_KEY_LEN], sha1: &'static dyn Sha1HmacProvider },
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if matches!(self, Self::Gcm { .. }) { "Gcm" } else { "Hmac" })
    }
}

impl Key {
    /// Derive what the peer protects a protocol with; None for a profile that is not ours.
    pub fn of_peer(provider: &CryptoProvider, keys: &Keys, protocol: Protocol) -> Option<Self> {
        let (key_bytes, salt_bytes) = match keys.profile {
            SrtpProfile::AES128_CM_SHA1_80 => (Aes128CmSha1_80::KEY_LEN, Aes128CmSha1_80::SALT_LEN),
            SrtpProfile::AEAD_AES_128_GCM => (16, GCM_SALT_BYTES),
            SrtpProfile::AEAD_AES_256_GCM => (32, GCM_SALT_BYTES),
            _ => return None,
        };
        let (masters, salts) = keys.material.split_at_checked(2 * key_bytes)?;
        let nth = usize::from(!keys.is_peer_client);
        let master = Master { key: masters.chunks(key_bytes).nth(nth)?, salt: salts.chunks(salt_bytes).nth(nth)? };
        let srtp = provider.srtp_provider;
        let (cipher_label, hmac_label, salt_label) = protocol.labels();
        Some(match keys.profile {
            SrtpProfile::AES128_CM_SHA1_80 => {
                Self::Hmac { key: master.derive(srtp, hmac_label), sha1: provider.sha1_hmac_provider }
            }
            SrtpProfile::AEAD_AES_128_GCM => {
                let cipher = srtp.aead_aes_128_gcm().create_cipher(master.derive(srtp, cipher_label), false);
                Self::Gcm { cipher: Gcm::Short(cipher), salt: master.derive(srtp, salt_label) }
            }
            _ => {
                let cipher = srtp.aead_aes_256_gcm().create_cipher(master.derive(srtp, cipher_label), false);
                Self::Gcm { cipher: Gcm::Long(cipher), salt: master.derive(srtp, salt_label) }
            }
        })
    }
}

/// One side's master key and salt.
struct Master<'a> {
    key: &'a [u8],
    salt: &'a [u8],
}

impl Master<'_> {
    /// Derive a session key: AES in counter mode, from the salt with the label in its place.
    fn derive<const N: usize>(&self, provider: &dyn SrtpProvider, label: u8) -> [u8; N] {
        let mut input = [0; BLOCK_BYTES];
        input[..self.salt.len()].copy_from_slice(self.salt);
        input[7] ^= label;
        let mut derived = [0; N];
        for (round, part) in (0_u16..).zip(derived.chunks_mut(BLOCK_BYTES)) {
            input[14..].copy_from_slice(&round.to_be_bytes());
            // One block; the provider asks for room for a second.
            let mut block = [0; 2 * BLOCK_BYTES];
            if self.key.len() == 16 {
                provider.srtp_aes_128_ecb_round(self.key, &input, &mut block);
            } else {
                provider.srtp_aes_256_ecb_round(self.key, &input, &mut block);
            }
            part.copy_from_slice(&block[..part.len()]);
        }
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::Master;
    use str0m::crypto::from_feature_flags;

    /// Spec: RFC 3711 appendix B.3 and, for keys of 256 bits, RFC 6188 §7.2.
    #[test]
    fn keys_are_derived_as_the_standards_say() {
        let key = "e1f97a0d3e018be0d64fa32c06de4139";
        let derived = ["c61e7a93744f39ee10734afe3ff7a087", "cebe321f6ff7716b6fd4ab49af256a156d38baa4"];
        assert_eq!(
            derive(key, "0ec675ad498afeebb6960b3aabe6"),
            [derived[0], derived[1], "30cbbc08863d8c85d49db34a9ae1"]
        );
        let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
        let derived = [
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ];
        assert_eq!(
            derive(key, "3b04803de51ee7c96423ab5b78d2"),
            [derived[0], derived[1], "fa31791685ca444a9e07c6c64e93"]
        );
    }

    /// Return a direction's keys for cipher, HMAC and salt, all in hex.
    fn derive(key: &str, salt: &str) -> [String; 3] {
        let (key, salt) = (bytes(key), bytes(salt));
        let (master, provider) = (Master { key: &key, salt: &salt }, from_feature_flags().srtp_provider);
        let cipher = if key.len() == 16 {
            hex(&master.derive::<16>(provider, 0))
        } else {
            hex(&master.derive::<32>(provider, 0))
        };
        [cipher, hex(&master.derive::<20>(provider, 1)), hex(&master.derive::<14>(provider, 2))]
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|half| char::from_digit(half.into(), 16))
            .collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
