//! What a packet was found to be when it was verified, kept until str0m asks for the same.
//!
//! str0m decrypts and digests by the provider it is given. Ours remembers the packet in hand: asked for the plain text of
//! the very bytes that were decrypted a moment ago, or for the digest of the very bytes that were digested, it gives what
//! came of it. Asked for anything else it does the work, so nothing rests on str0m asking in a certain way but the speed.
//! The memory is a thread's, as the provider is everybody's, and ends with [`Opened`].

use std::cell::RefCell;

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, CryptoProvider, Sha1HmacProvider, SrtpProvider,
    SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80, from_feature_flags,
};

/// Bytes that do not move while they are remembered: address and length.
type Place = (usize, usize);

enum Memory {
    Nothing,
    Plain { iv: [u8; 12], input: Place, length: usize },
    Digest { key: [u8; 20], message: Place, roc: [u8; 4], digest: [u8; 20] },
}

struct Latest {
    memory: Memory,
    /// Only grows, as filling it anew with zeros for each packet would cost as much as copying.
    plain: Vec<u8>,
}

thread_local! {
    static LATEST: RefCell<Latest> = const { RefCell::new(Latest { memory: Memory::Nothing, plain: Vec::new() }) };
}

/// The packet in hand is remembered while this lives.
#[derive(Debug, Default)]
pub struct Opened(());

impl Drop for Opened {
    fn drop(&mut self) {
        LATEST.with_borrow_mut(|latest| latest.memory = Memory::Nothing);
    }
}

/// Remember what `decrypt` makes of `input`; None if it says that the tag is wrong.
pub fn decrypted(
    iv: [u8; 12],
    input: &[u8],
    tag_bytes: usize,
    decrypt: impl FnOnce(&mut [u8]) -> bool,
) -> Option<Opened> {
    let length = input.len().checked_sub(tag_bytes)?;
    let mut plain = LATEST.with_borrow_mut(|latest| std::mem::take(&mut latest.plain));
    if plain.len() < length {
        plain.resize(length.next_multiple_of(2_048), 0);
    }
    let is_right = decrypt(&mut plain[..length]);
    LATEST.with_borrow_mut(|latest| {
        latest.plain = plain;
        is_right.then(|| {
            latest.memory = Memory::Plain { iv, input: place(input), length };
            Opened(())
        })
    })
}

/// Remember a digest.
pub fn digested(key: [u8; 20], message: &[u8], roc: [u8; 4], digest: [u8; 20]) -> Opened {
    LATEST.with_borrow_mut(|latest| latest.memory = Memory::Digest { key, message: place(message), roc, digest });
    Opened(())
}

fn place(bytes: &[u8]) -> Place {
    (bytes.as_ptr().addr(), bytes.len())
}

/// Write the plain text of `input` if it is remembered; return its length.
fn recall_plain(iv: &[u8; 12], input: &[u8], output: &mut [u8]) -> Option<usize> {
    LATEST.with_borrow(|latest| match &latest.memory {
        Memory::Plain { iv: known, input: at, length } if known == iv && *at == place(input) => {
            output.get_mut(..*length)?.copy_from_slice(latest.plain.get(..*length)?);
            Some(*length)
        }
        _ => None,
    })
}

fn recall_digest(key: &[u8], parts: &[&[u8]]) -> Option<[u8; 20]> {
    LATEST.with_borrow(|latest| match (&latest.memory, parts) {
        (Memory::Digest { key: known, message, roc, digest }, [body, counter]) => {
            (known == key && *message == place(body) && roc == counter).then_some(*digest)
        }
        _ => None,
    })
}

/// Return a provider that remembers the packet in hand, and is otherwise `provider`.
pub fn remembering(provider: &CryptoProvider) -> CryptoProvider {
    CryptoProvider { srtp_provider: &Remembering, sha1_hmac_provider: &Remembering, ..provider.clone() }
}

#[derive(Debug)]
struct Remembering;

impl Sha1HmacProvider for Remembering {
    fn sha1_hmac(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
        recall_digest(key, parts).unwrap_or_else(|| from_feature_flags().sha1_hmac_provider.sha1_hmac(key, parts))
    }
}

impl SrtpProvider for Remembering {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        from_feature_flags().srtp_provider.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Remembering
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Remembering
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_256_ecb_round(key, input, output);
    }
}

impl SupportedAeadAes128Gcm for Remembering {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        let cipher = from_feature_flags().srtp_provider.aead_aes_128_gcm().create_cipher(key, encrypt);
        if encrypt { cipher } else { Box::new(Recalling(cipher)) }
    }
}

impl SupportedAeadAes256Gcm for Remembering {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        let cipher = from_feature_flags().srtp_provider.aead_aes_256_gcm().create_cipher(key, encrypt);
        if encrypt { cipher } else { Box::new(Recalling(cipher)) }
    }
}

/// A cipher that is asked for what may be known already.
#[derive(Debug)]
struct Recalling<T>(T);

impl AeadAes128GcmCipher for Recalling<Box<dyn AeadAes128GcmCipher>> {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.0.encrypt(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        recall_plain(iv, input, output).map_or_else(|| self.0.decrypt(iv, aads, input, output), Ok)
    }
}

impl AeadAes256GcmCipher for Recalling<Box<dyn AeadAes256GcmCipher>> {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.0.encrypt(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        recall_plain(iv, input, output).map_or_else(|| self.0.decrypt(iv, aads, input, output), Ok)
    }
}
