//! Cryptography that protects nothing: media passes as it is and every integrity code is the same.
//!
//! With it, altered bytes reach the parsers behind SRTP and STUN instead of failing their checks. DTLS stays real, since
//! it is OpenSSL's own parser that reads it. Only fuzzing uses this; the product cannot reach it.

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, Sha1HmacProvider,
    SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// Bytes an AEAD tag takes at the end of a packet; their value does not matter here.
pub const TAG_BYTES: usize = 16;
/// What every HMAC comes to.
pub const HMAC: [u8; 20] = [0x5a; 20];

/// Return `real` without its secrets.
pub fn unprotected(real: &CryptoProvider) -> CryptoProvider {
    CryptoProvider { srtp_provider: &Plain, sha1_hmac_provider: &Plain, ..real.clone() }
}

#[derive(Debug)]
struct Plain;

impl Sha1HmacProvider for Plain {
    fn sha1_hmac(&self, _key: &[u8], _payloads: &[&[u8]]) -> [u8; 20] {
        HMAC
    }
}

impl SrtpProvider for Plain {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Plain
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Plain
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Plain
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], output: &mut [u8]) {
        output.fill(0);
    }

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], output: &mut [u8]) {
        output.fill(0);
    }
}

impl SupportedAes128CmSha1_80 for Plain {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes128Gcm for Plain {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes256Gcm for Plain {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Self)
    }
}

impl Aes128CmSha1_80Cipher for Plain {
    fn encrypt(&mut self, _iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(&mut self, _iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }
}

impl AeadAes128GcmCipher for Plain {
    fn encrypt(&mut self, _iv: &[u8; 12], _aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Ok(open(input, output))
    }
}

impl AeadAes256GcmCipher for Plain {
    fn encrypt(&mut self, _iv: &[u8; 12], _aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Ok(open(input, output))
    }
}

fn open(input: &[u8], output: &mut [u8]) -> usize {
    let count = input.len().saturating_sub(TAG_BYTES);
    copy(&input[..count], output);
    count
}

fn copy(input: &[u8], output: &mut [u8]) {
    for (to, from) in output.iter_mut().zip(input) {
        *to = *from;
    }
}
