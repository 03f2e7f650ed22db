//! `soloist._core`: the Python face of the receive core. Arguments in, errors out; no protocol lives here.

mod convert;
mod error;
mod run_loop;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use soloist_core::{Budget, Clock, Codec, OfferError, Session, SessionId, Settings, Wishes};

use run_loop::{Handle, LoopSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives WebRTC sessions on one UDP port; its I/O thread never holds the GIL.
#[pyclass(frozen, module = "soloist._core")]
struct Receiver {
    /// The UDP port in use.
    #[pyo3(get)]
    port: u16,
    settings: Settings,
    handle: Handle,
    next_session: AtomicU64,
}

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (*, bind, port, public_addresses, batch_interval_ms=100, queue_bytes_max=268_435_456, socket_buffer_bytes=33_554_432, silence_timeout_ms=15_000, with_tcp=true, budget=None))]
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts lists of strings by value")]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python")]
    fn new(
        bind: &str,
        port: u16,
        public_addresses: Vec<String>,
        batch_interval_ms: u64,
        queue_bytes_max: usize,
        socket_buffer_bytes: usize,
        silence_timeout_ms: u64,
        with_tcp: bool,
        budget: Option<HashMap<String, u32>>,
    ) -> PyResult<Self> {
        let settings = LoopSettings {
            bind: SocketAddr::new(parse_ip(bind, "bind")?, port),
            with_tcp,
            socket_buffer_bytes,
            queue_bytes_max,
            budget: parse_budget(&budget.unwrap_or_default())?,
            batch_interval: Duration::from_millis(batch_interval_ms),
        };
        let public = public_addresses.iter().map(|text| parse_ip(text, "public_addresses"));
        let public = public.collect::<PyResult<Vec<IpAddr>>>()?;
        let bound = run_loop::Bound::bind(&settings).map_err(|error| error::os_error(&error))?;
        let port = bound.address.port();
        let candidates = run_loop::candidates(&public, bound.address).map_err(|error| error::os_error(&error))?;
        let (crypto, certificate) = soloist_core::crypto().map_err(|error| error::offer_error(&error))?;
        let core_settings = Settings {
            tcp_candidates: if bound.has_tcp() { candidates.clone() } else { Vec::new() },
            candidates: candidates.clone(),
            certificate,
            crypto,
            clock: clock(),
            silence_timeout: Duration::from_millis(silence_timeout_ms),
        };
        let handle = bound.start(&settings, candidates).map_err(|error| error::os_error(&error))?;
        Ok(Self { port, settings: core_settings, handle, next_session: AtomicU64::new(1) })
    }

    #[pyo3(signature = (offer, *, video_codecs, with_red=true))]
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts lists of strings by value")]
    fn accept_offer(
        &self,
        py: Python<'_>,
        offer: &str,
        video_codecs: Vec<String>,
        with_red: bool,
    ) -> PyResult<(u64, String, Vec<convert::Track>)> {
        let wishes = Wishes { video_codecs: parse_codecs(&video_codecs)?, with_red };
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let answered = py.detach(|| self.answer(id, offer, &wishes));
        let (answer, tracks) = answered.map_err(|error| error::offer_error(&error))?;
        Ok((id.0, answer, tracks.iter().map(convert::track).collect()))
    }

    #[pyo3(signature = (session, mid, rid=None))]
    fn request_keyframe(&self, session: u64, mid: String, rid: Option<String>) {
        self.handle.request_keyframe(SessionId(session), mid, rid);
    }

    #[pyo3(signature = (session, *, ufrag, pwd))]
    fn restart_ice(&self, py: Python<'_>, session: u64, ufrag: String, pwd: String) -> PyResult<String> {
        let answered = py.detach(|| self.handle.restart_ice(SessionId(session), ufrag, pwd));
        answered.map_err(|error| error::offer_error(&error))
    }

    fn close_session(&self, session: u64) {
        self.handle.close_session(SessionId(session));
    }

    fn wait(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Py<PyList>> {
        let batch = py.detach(|| self.handle.wait(Duration::from_millis(timeout_ms)));
        let batch =
            batch.map_err(|_| PyRuntimeError::new_err("the receive thread has failed; restart the recorder"))?;
        convert::batch(py, batch)
    }

    fn mark(&self) -> u64 {
        self.handle.mark()
    }

    #[allow(clippy::needless_pass_by_value, reason = "PyO3 extracts lists of numbers by value")]
    fn has_handed_out(&self, mark: u64, sessions: Vec<u64>) -> bool {
        let sessions: Vec<SessionId> = sessions.into_iter().map(SessionId).collect();
        self.handle.has_handed_out(mark, &sessions)
    }

    fn forget_mark(&self, mark: u64) {
        self.handle.forget_mark(mark);
    }

    fn wake(&self) {
        self.handle.wake();
    }

    fn stats(&self) -> HashMap<&'static str, u64> {
        self.handle.stats().named().into_iter().collect()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.handle.close());
    }
}

impl Receiver {
    /// Answer an offer on the calling thread and give the session to the I/O thread.
    fn answer(
        &self,
        id: SessionId,
        offer: &str,
        wishes: &Wishes,
    ) -> Result<(String, Vec<soloist_core::Track>), OfferError> {
        let answered =
            catch_unwind(AssertUnwindSafe(|| Session::answer(&self.settings, id, offer, wishes, Instant::now())));
        let (session, answer, tracks) = answered.map_err(|_| OfferError::Internal("it panicked".into()))??;
        self.handle.open(session);
        Ok((answer, tracks))
    }
}

fn clock() -> Clock {
    let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Clock::new(Instant::now(), i64::try_from(unix_ns).unwrap_or(i64::MAX))
}

fn parse_ip(text: &str, name: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("{name} must be IP addresses, not host names")))
}

fn parse_codecs(names: &[String]) -> PyResult<Vec<Codec>> {
    let codec = |name: &String| {
        Codec::from_name(name)
            .filter(|codec| Codec::VIDEO.contains(codec))
            .ok_or_else(|| PyValueError::new_err(format!("{name:?} is none of h264, vp8, vp9, av1")))
    };
    names.iter().map(codec).collect()
}

fn parse_budget(limits: &HashMap<String, u32>) -> PyResult<Budget> {
    let mut budget = Budget::default();
    for (name, limit) in limits {
        let field = match name.as_str() {
            "audio_packets_per_s" => &mut budget.audio_packets_per_s,
            "video_packets_per_s" => &mut budget.video_packets_per_s,
            "bytes_per_s" => &mut budget.bytes_per_s,
            "pictures_per_s" => &mut budget.pictures_per_s,
            _ => return Err(PyValueError::new_err(format!("a session's budget has no {name:?}"))),
        };
        *field = *limit;
    }
    Ok(budget)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("OfferError", py.get_type::<error::OfferError>())?;
    module.add("SessionGoneError", py.get_type::<error::SessionGoneError>())?;
    module.add_class::<convert::Closed>()?;
    module.add_class::<convert::Connected>()?;
    module.add_class::<convert::Frame>()?;
    module.add_class::<convert::Overflow>()?;
    module.add_class::<convert::SenderReport>()?;
    module.add_class::<convert::Track>()?;
    module.add_class::<Receiver>()
}
