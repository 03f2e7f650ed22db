//! DTLS with every publisher: certificates they present, roles they offer.
//!
//! The publisher speaks str0m's own OpenSSL backend, which is not ours, so that two implementations meet.

mod support;

use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509Builder, X509NameBuilder};
use soloist_core::Codec;
use str0m::RtcConfig;
use str0m::config::DtlsCert;
use support::media::publish;
use support::{Rig, Scenario};

#[derive(Debug, Clone, Copy)]
enum Key {
    Rsa2048,
    P256,
    P384,
}

/// The role offered, and how the offer comes to say so.
type Role = (&'static str, fn(String) -> String);

const ROLES: [Role; 3] = [
    ("actpass", |offer| offer),
    ("active", |offer| offer.replace("a=setup:actpass", "a=setup:active")),
    ("passive", |offer| offer.replace("a=setup:actpass", "a=setup:passive")),
];

fn private_key(key: Key) -> Result<PKey<Private>, openssl::error::ErrorStack> {
    let curve = |nid| PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(nid)?.as_ref())?);
    match key {
        Key::Rsa2048 => PKey::from_rsa(Rsa::generate(2_048)?),
        Key::P256 => curve(Nid::X9_62_PRIME256V1),
        Key::P384 => curve(Nid::SECP384R1),
    }
}

fn certificate(key: Key) -> Result<DtlsCert, openssl::error::ErrorStack> {
    let key = private_key(key)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "publisher")?;
    let name = name.build();
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(30)?.as_ref())?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(DtlsCert { certificate: builder.build().to_der()?, private_key: key.private_key_to_der()? })
}

#[test]
fn every_certificate_in_every_role_connects_and_publishes() {
    for key in [Key::Rsa2048, Key::P256, Key::P384] {
        for (role, edit_offer) in ROLES {
            let Ok(certificate) = certificate(key) else {
                unreachable!("OpenSSL makes certificates");
            };
            let config = RtcConfig::new().set_dtls_cert(certificate);
            let mut rig = Rig::new(Scenario { config, edit_offer, ..Scenario::default() });
            rig.run_for(Duration::from_secs(1));
            assert!(rig.is_connected, "{key:?} {role}");
            let sent = publish(&mut rig, Codec::Vp8, 1, 60, 0);
            assert_eq!(rig.frames_of(Codec::Vp8).len(), sent.pictures.len(), "{key:?} {role}");
            assert_eq!(rig.frames_of(Codec::Opus).len(), sent.sounds.len(), "{key:?} {role}");
        }
    }
}
