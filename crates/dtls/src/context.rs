//! The OpenSSL context all sessions of a process share: certificate, ciphers, SRTP profiles.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use openssl::pkey::PKey;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslOptions, SslVerifyMode};
use openssl::x509::X509;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::DtlsCert;

/// Ephemeral key exchange only; AEAD first, CBC for encoders that know nothing else.
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES256:ECDHE+AES128:DHE+AES256";
/// P-224 and P-521 are here for the certificates of publishers: OpenSSL takes a certificate only on a listed curve.
const GROUPS: &str = "X25519:P-256:P-384:P-521:P-224";
/// The cheapest first: AES-128-GCM takes one pass and no HMAC. Spec: RFC 7714 §14.2, RFC 5764 §4.1.2.
const SRTP_PROFILES: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80";
/// Publishers' certificates are self-signed and trusted by fingerprint, so short RSA keys need not be refused.
const SECURITY_LEVEL: u32 = 1;

/// The context of the certificate last used; a process has one certificate.
pub struct Contexts {
    latest: Mutex<Option<(Vec<u8>, SslContext)>>,
}

impl Contexts {
    pub const fn new() -> Self {
        Self { latest: Mutex::new(None) }
    }

    /// Return the context for a certificate, made anew if it is not the one used last.
    pub fn get(&self, certificate: &DtlsCert) -> Result<SslContext, CryptoError> {
        // What a panic may leave behind is a whole context or none.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((der, context)) = &*latest
            && *der == certificate.certificate
        {
            return Ok(context.clone());
        }
        let context = build(certificate)?;
        *latest = Some((certificate.certificate.clone(), context.clone()));
        Ok(context)
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Contexts")
    }
}

fn build(certificate: &DtlsCert) -> Result<SslContext, CryptoError> {
    let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
    builder.set_security_level(SECURITY_LEVEL);
    builder.set_cipher_list(CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    builder.set_tlsext_use_srtp(SRTP_PROFILES)?;
    // The chain proves nothing; str0m compares the fingerprint with the offer's. Spec: RFC 8122 §5.
    builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    builder.set_private_key(&*PKey::private_key_from_der(&certificate.private_key)?)?;
    builder.set_certificate(&*X509::from_der(&certificate.certificate)?)?;
    builder.set_options(SslOptions::NO_DTLSV1 | SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
    Ok(builder.build())
}
