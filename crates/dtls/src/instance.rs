//! One DTLS association as str0m drives it.
//!
//! States in order: handshaking, established, over. Only `step` moves on from the first, only an authentic close_notify from
//! the second: what cannot be read after the handshake is what anybody may have sent, and is as if it had been lost.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{ErrorCode, Ssl, SslCipherRef, SslContext, SslStream};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile};

use crate::pipe::Pipe;
use crate::records::{self, Stage};
use crate::tap::{Keys, Tap};
use crate::timer;

/// Spec: RFC 5764 §4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// How often OpenSSL is asked during the handshake whether its timer has run out; half its shortest interval.
const HANDSHAKE_POLL: Duration = Duration::from_millis(50);
/// No output is due; str0m asks again after the next input.
const IDLE: Duration = Duration::from_secs(3_600);
/// Largest plaintext of a record. Spec: RFC 5246 §6.2.1.
const RECORD_BYTES: usize = 16_384;
/// Application data is SCTP, which a recorder has no use for; what waits is bounded all the same.
const WAITING_DATA_MAX: usize = 64;

/// What any cipher adds to a record at least, bytes. OpenSSL does not name the one agreed on before the handshake is done.
const OVERHEAD_MIN: usize = 16;

/// Facts str0m is still to be told, in order.
#[derive(Debug)]
enum Fact {
    Connected,
    PeerCertificate(Vec<u8>),
    KeyingMaterial(Vec<u8>, SrtpProfile),
    Data(Vec<u8>),
    CloseNotify,
}

pub struct Instance {
    context: SslContext,
    mtu_bytes: u32,
    stream: SslStream<Pipe>,
    tap: Arc<Tap>,
    has_answered: bool,
    is_active: Option<bool>,
    is_established: bool,
    is_close_sent: bool,
    facts: VecDeque<Fact>,
    early_data: VecDeque<Vec<u8>>,
    now: Instant,
}

impl Instance {
    pub fn new(context: SslContext, mtu_bytes: u32, now: Instant) -> Result<Self, CryptoError> {
        Ok(Self {
            stream: stream(&context, mtu_bytes)?,
            context,
            mtu_bytes,
            tap: Tap::leave(),
            has_answered: false,
            is_active: None,
            is_established: false,
            is_close_sent: false,
            facts: VecDeque::new(),
            early_data: VecDeque::new(),
            now,
        })
    }

    /// Let OpenSSL go on: it repeats a flight whose time has come, reads the waiting datagram and answers it. Return whether
    /// it does: a handshake may have had to begin again.
    fn step(&mut self) -> Result<bool, DtlsImplError> {
        let Some(is_active) = self.is_active else {
            return Ok(true);
        };
        // OpenSSL judges its last call by whatever errors the thread has left; what it dropped in silence may be among them.
        drop(ErrorStack::get());
        if !self.is_established {
            match if is_active { self.stream.connect() } else { self.stream.accept() } {
                Ok(()) => self.establish()?,
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(true),
                Err(_) => return self.begin_again().map(|()| false),
            }
        }
        self.read_records();
        Ok(true)
    }

    /// Forget a handshake that failed before it was answered: whoever began it need not be the peer, who has lost nothing
    /// by it. Later there is no way back, as the peer has gone on.
    fn begin_again(&mut self) -> Result<(), DtlsImplError> {
        if self.has_answered || self.is_active != Some(false) {
            return Err(fatal());
        }
        self.tap.count_refused(1);
        self.stream = stream(&self.context, self.mtu_bytes).map_err(|_| fatal())?;
        Ok(())
    }

    fn stage(&self) -> Stage {
        if self.is_established {
            Stage::Established
        } else {
            Stage::Handshake { is_client: self.is_active == Some(true) }
        }
    }

    fn overhead(&self) -> usize {
        self.stream.ssl().current_cipher().map_or(OVERHEAD_MIN, overhead)
    }

    fn establish(&mut self) -> Result<(), DtlsImplError> {
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().and_then(|certificate| certificate.to_der().ok()).ok_or_else(fatal)?;
        let profile = ssl.selected_srtp_profile().and_then(|profile| srtp_profile(profile.id())).ok_or_else(fatal)?;
        let mut keys = vec![0; profile.keying_material_len()];
        ssl.export_keying_material(&mut keys, EXPORTER_LABEL, None).map_err(|_| fatal())?;
        self.is_established = true;
        self.tap.tell(Keys { material: keys.clone(), profile, is_peer_client: self.is_active == Some(false) });
        self.facts.extend([Fact::Connected, Fact::PeerCertificate(certificate), Fact::KeyingMaterial(keys, profile)]);
        while let Some(data) = self.early_data.pop_front() {
            self.send(&data)?;
        }
        Ok(())
    }

    /// Read the waiting record; this also repeats our last flight if the peer repeated its own.
    fn read_records(&mut self) {
        let mut record = [0; RECORD_BYTES];
        loop {
            match self.stream.ssl_read(&mut record) {
                Ok(length) if self.facts.len() < WAITING_DATA_MAX => {
                    self.facts.push_back(Fact::Data(record[..length].to_vec()));
                }
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::WANT_READ => return,
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => return self.hear_goodbye(),
                Err(_) => return self.tap.count_refused(1),
            }
        }
    }

    /// Note a close_notify and answer it. Spec: RFC 5246 §7.2.1.
    fn hear_goodbye(&mut self) {
        if !self.facts.iter().any(|fact| matches!(fact, Fact::CloseNotify)) {
            self.facts.push_back(Fact::CloseNotify);
        }
        self.say_goodbye();
    }

    fn say_goodbye(&mut self) {
        if self.is_established && !self.is_close_sent {
            // A goodbye that cannot be said is not waited for.
            let _ = self.stream.shutdown();
        }
        self.is_close_sent = true;
    }

    fn send(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.stream.write_all(data).map_err(|_| fatal())
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.is_active.get_or_insert(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        // str0m sends an empty packet to set a client off.
        if packet.is_empty() {
            return self.step().map(drop);
        }
        // A server in waiting has no timer of its own: what is refused sets nothing off.
        let (sound, refused) = records::sound(packet, self.stage(), self.overhead());
        self.tap.count_refused(refused);
        for record in sound {
            self.stream.get_mut().put(record);
            if !self.step()? {
                // To begin again costs more than a look: once for a datagram, of which the rest is no better.
                break;
            }
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        if let Some(packet) = self.stream.get_mut().pop() {
            self.has_answered = true;
            return copied(buffer, &packet).map_or(idle(self.now), DtlsOutput::Packet);
        }
        match self.facts.pop_front() {
            Some(Fact::Connected) => DtlsOutput::Connected,
            Some(Fact::PeerCertificate(der)) => copied(buffer, &der).map_or(idle(self.now), DtlsOutput::PeerCert),
            Some(Fact::KeyingMaterial(keys, profile)) => {
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&keys), profile)
            }
            Some(Fact::Data(data)) => copied(buffer, &data).map_or(idle(self.now), DtlsOutput::ApplicationData),
            Some(Fact::CloseNotify) => DtlsOutput::CloseNotify,
            None if self.is_active.is_some() && !self.is_established => DtlsOutput::Timeout(self.now + HANDSHAKE_POLL),
            None => idle(self.now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        // A server that has heard nothing has no flight to repeat; a client not set off yet has none either.
        if self.is_established { Ok(()) } else { self.step().map(drop) }
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        if self.is_established {
            return self.send(data);
        }
        if self.early_data.len() < WAITING_DATA_MAX {
            self.early_data.push_back(data.to_vec());
        }
        Ok(())
    }

    fn is_active(&self) -> bool {
        self.is_active == Some(true)
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.is_established.then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        self.is_close_sent
    }

    fn is_closed(&self) -> bool {
        self.is_close_sent && self.stream.get_ref().is_drained()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.say_goodbye();
        Ok(())
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Instance").field("is_established", &self.is_established).finish_non_exhaustive()
    }
}

fn idle<'a>(now: Instant) -> DtlsOutput<'a> {
    DtlsOutput::Timeout(now + IDLE)
}

fn copied<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> Option<&'a [u8]> {
    let room = buffer.get_mut(..bytes.len())?;
    room.copy_from_slice(bytes);
    Some(room)
}

/// The association is lost; OpenSSL's own words are not passed on, as they may quote what the peer sent.
const fn fatal() -> DtlsImplError {
    DtlsImplError::ConnectionClosed
}

/// Make OpenSSL's side of an association.
fn stream(context: &SslContext, mtu_bytes: u32) -> Result<SslStream<Pipe>, ErrorStack> {
    let mut ssl = Ssl::new(context)?;
    ssl.set_mtu(mtu_bytes)?;
    timer::set(&mut ssl);
    SslStream::new(ssl, Pipe::default())
}

/// Return what a cipher adds to a record at least, bytes. Spec: RFC 5288 §3 (nonce and tag), RFC 7905 §2 (tag), RFC 5246
/// §6.2.3.2 (an initialization vector and two blocks, as no MAC fits in one).
fn overhead(cipher: &SslCipherRef) -> usize {
    match cipher.name() {
        name if name.contains("GCM") => 8 + 16,
        name if name.contains("CHACHA20") => OVERHEAD_MIN,
        _ => 3 * 16,
    }
}

fn srtp_profile(id: SrtpProfileId) -> Option<SrtpProfile> {
    match id {
        SrtpProfileId::SRTP_AEAD_AES_128_GCM => Some(SrtpProfile::AEAD_AES_128_GCM),
        SrtpProfileId::SRTP_AEAD_AES_256_GCM => Some(SrtpProfile::AEAD_AES_256_GCM),
        SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Some(SrtpProfile::AES128_CM_SHA1_80),
        _ => None,
    }
}
