//! ICE and DTLS parameters of an offer.

use super::{Section, has, malformed, value_of};
use crate::error::OfferError;

/// ICE and DTLS parameters all sections share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    pub ufrag: String,
    pub password: String,
    pub(super) fingerprint: String,
    pub(super) setup: String,
}

/// Collect ICE and DTLS parameters from the first accepted section, else from the session. Spec: RFC 8839 §5.4, RFC 8842 §5.
pub(super) fn transport_of(section: &Section, session_attributes: &[String]) -> Result<Transport, OfferError> {
    let find = |name| value_of(&section.attributes, name).or_else(|| value_of(session_attributes, name));
    let ufrag = find("ice-ufrag:").ok_or_else(|| malformed("it has no a=ice-ufrag"))?;
    let password = find("ice-pwd:").ok_or_else(|| malformed("it has no a=ice-pwd"))?;
    check_credentials(ufrag, password)?;
    if has(session_attributes, "ice-lite") {
        return Err(malformed("it comes from an ICE-lite agent, and so are we; offer from a full ICE agent"));
    }
    let setup = find("setup:").unwrap_or("actpass");
    if !["actpass", "active", "passive"].contains(&setup) {
        return Err(malformed("its a=setup is none of actpass, active, passive"));
    }
    let fingerprint = section
        .attributes
        .iter()
        .chain(session_attributes)
        .filter_map(|attribute| attribute.strip_prefix("fingerprint:"))
        .find_map(sha256_fingerprint)
        .ok_or_else(|| malformed("it has no readable a=fingerprint:sha-256; DTLS needs one"))?;
    Ok(Transport { ufrag: ufrag.into(), password: password.into(), fingerprint, setup: setup.into() })
}

/// Check ICE credentials against their grammar.
///
/// # Errors
/// They are too short, too long or hold other characters. Spec: RFC 8839 §5.4.
pub fn check_credentials(ufrag: &str, password: &str) -> Result<(), OfferError> {
    let is_ice = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    // Shorter ones than the grammar's 4 and 22 characters are seen in the field and do no harm; longer ones do.
    let fits = |text: &str| !text.is_empty() && text.len() <= 256;
    if [ufrag, password].iter().all(|text| fits(text) && is_ice(text)) {
        Ok(())
    } else {
        Err(malformed("its ICE credentials are not 1 to 256 characters of A-Z a-z 0-9 + /"))
    }
}

fn sha256_fingerprint(value: &str) -> Option<String> {
    let (function, digest) = value.trim().split_once(' ')?;
    let pairs: Vec<&str> = digest.trim().split(':').collect();
    let is_digest =
        pairs.len() == 32 && pairs.iter().all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok());
    (function.eq_ignore_ascii_case("sha-256") && is_digest).then(|| format!("sha-256 {}", digest.trim().to_uppercase()))
}
