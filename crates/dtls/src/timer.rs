//! OpenSSL's retransmission timer: when a flight is sent again.
//!
//! The only unsafe code of the DTLS and core crates: OpenSSL offers no other way to set the first interval, and the
//! `openssl` crate has no safe form of this one.
#![allow(unsafe_code, reason = "DTLS_set_timer_cb has no safe binding")]

use std::os::raw::c_uint;

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslRef;
use openssl_sys::SSL;

/// First interval, microseconds. RFC 6347 §4.2.4.1 asks for one second where nothing is known of the path; media setup
/// cannot afford it, and a peer that is slow to listen (FFmpeg as DTLS server) makes the loss of a flight common. Nor is
/// it shorter: FFmpeg answers 50 to 100 ms late, and a flight that comes twice makes it wait for us at every packet.
const FIRST_US: c_uint = 250_000;
/// Longest interval, microseconds. Twelve flights span 28 s, more than a silent session lives.
const LONGEST_US: c_uint = 3_000_000;

unsafe extern "C" {
    /// `void DTLS_set_timer_cb(SSL *s, DTLS_timer_cb cb)`, OpenSSL 1.1.1 and later.
    fn DTLS_set_timer_cb(ssl: *mut SSL, callback: extern "C" fn(*mut SSL, c_uint) -> c_uint);
}

/// Let a handshake's flights be repeated after 250, 500, 1000, ... ms up to 3 s. Call before the handshake begins.
pub fn set(ssl: &mut SslRef) {
    // SAFETY: the pointer is that of a live SSL we hold exclusively, and the callback is a pure function of its number.
    unsafe { DTLS_set_timer_cb(ssl.as_ptr(), next_interval) }
}

/// Return the interval after `previous_us`, which is 0 for a new flight; `ssl` is not looked at.
extern "C" fn next_interval(_ssl: *mut SSL, previous_us: c_uint) -> c_uint {
    if previous_us == 0 { FIRST_US } else { previous_us.saturating_mul(2).min(LONGEST_US) }
}

#[cfg(test)]
mod tests {
    use super::next_interval;

    #[test]
    fn intervals_double_from_a_quarter_of_a_second_to_three_seconds() {
        let mut interval = 0;
        let intervals = [(); 7].map(|()| {
            interval = next_interval(std::ptr::null_mut(), interval);
            interval / 1_000
        });
        assert_eq!(intervals, [250, 500, 1_000, 2_000, 3_000, 3_000, 3_000]);
    }
}
