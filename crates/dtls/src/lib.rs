//! DTLS 1.2 for str0m on OpenSSL, with a working retransmission timer.
//!
//! str0m's own OpenSSL backend takes every certificate a publisher may present, but never lets OpenSSL repeat a lost
//! flight. This one calls OpenSSL back into its handshake while it lasts, which makes OpenSSL look at its timer, and sets
//! that timer to start at 250 ms instead of one second. OpenSSL reads the wall clock for it by itself.
//!
//! A crate of its own because setting the timer is the one call the `openssl` crate has no safe form of, and
//! `soloist-core` forbids unsafe code. Spec: RFC 6347 §4.2.4 (retransmission), RFC 5764 (DTLS-SRTP), RFC 8827 §6.5.

mod context;
mod instance;
mod pipe;
mod records;
mod tap;
mod timer;

use std::time::Instant;

use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use context::Contexts;
use instance::Instance;
pub use tap::{Keys, Tap};

/// Largest handshake datagram sent, bytes without UDP and IP headers: fits the IPv6 minimum of 1280 with room for tunnels.
const MTU_BYTES: u32 = 1_150;

/// Return str0m's OpenSSL cryptography with the DTLS of this crate.
pub fn crypto_provider() -> CryptoProvider {
    static DTLS: Provider = Provider { contexts: Contexts::new() };
    CryptoProvider { dtls_provider: &DTLS, ..from_feature_flags() }
}

#[derive(Debug)]
struct Provider {
    contexts: Contexts,
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        if version != DtlsVersion::Dtls12 {
            return Err(CryptoError::Other("OpenSSL 3 speaks DTLS up to 1.2 only".into()));
        }
        let context = self.contexts.get(certificate)?;
        Ok(Box::new(Instance::new(context, MTU_BYTES, now)?))
    }
}
