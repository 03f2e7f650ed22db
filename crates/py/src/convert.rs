//! Core values as Python objects; frame data becomes `bytes` here, once.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use soloist_core as core;

use crate::run_loop::Batch;

/// A media section the publisher sends and the answer accepted.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct Track {
    mid: String,
    kind: &'static str,
    codecs: Vec<&'static str>,
    rids: Vec<String>,
}

/// One encoded frame; see `soloist.model.media.EncodedFrame` for units.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct Frame {
    mid: Py<PyString>,
    rid: Option<Py<PyString>>,
    codec: Py<PyString>,
    rtp_ticks: i64,
    rate_hz: u32,
    is_keyframe: bool,
    follows_gap: bool,
    packets_lost: u64,
    received_ns: i64,
    width: u32,
    height: u32,
    data: Py<PyBytes>,
}

/// One RTCP sender report; see `soloist.model.media.SenderReport` for units.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct SenderReport {
    mid: Py<PyString>,
    rid: Option<Py<PyString>>,
    rtp_ticks: i64,
    ntp_ns: i64,
    received_ns: i64,
}

/// ICE and DTLS are done; media can flow.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct Connected {
    received_ns: i64,
}

/// The session is over; nothing follows it.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct Closed {
    reason: &'static str,
    received_ns: i64,
}

/// Media was dropped at this place: Python did not drain in time, or the session sent more than it may.
#[pyclass(frozen, get_all, module = "soloist._core")]
pub struct Overflow {
    mid: Py<PyString>,
    rid: Option<Py<PyString>>,
    frames_count: u64,
    packets_count: u64,
}

pub fn track(track: &core::Track) -> Track {
    Track {
        mid: track.mid.to_string(),
        kind: track.kind.name(),
        codecs: track.codecs.iter().map(|codec| codec.name()).collect(),
        rids: track.rids.iter().map(ToString::to_string).collect(),
    }
}

/// Turn a batch into `[(session, [item, ...]), ...]`.
pub fn batch(py: Python<'_>, batch: Batch) -> PyResult<Py<PyList>> {
    let groups = PyList::empty(py);
    for (session, items) in batch {
        let list = PyList::empty(py);
        for one in items {
            list.append(item(py, one)?)?;
        }
        groups.append((session.0, list))?;
    }
    Ok(groups.unbind())
}

fn item(py: Python<'_>, item: core::Item) -> PyResult<Py<PyAny>> {
    Ok(match item {
        core::Item::Frame(one) => Py::new(py, frame(py, &one))?.into_any(),
        core::Item::SenderReport(one) => Py::new(py, sender_report(py, &one))?.into_any(),
        core::Item::Connected { received_ns } => Py::new(py, Connected { received_ns })?.into_any(),
        core::Item::Closed { reason, received_ns } => {
            Py::new(py, Closed { reason: reason.name(), received_ns })?.into_any()
        }
        core::Item::Overflow { layer, frames_count, packets_count } => {
            let (mid, rid) = names(py, &layer);
            Py::new(py, Overflow { mid, rid, frames_count, packets_count })?.into_any()
        }
    })
}

fn frame(py: Python<'_>, frame: &core::Frame) -> Frame {
    let (mid, rid) = names(py, &frame.layer);
    Frame {
        mid,
        rid,
        codec: PyString::intern(py, frame.codec.name()).unbind(),
        rtp_ticks: frame.rtp_ticks,
        rate_hz: frame.codec.rate_hz(),
        is_keyframe: frame.is_keyframe,
        follows_gap: frame.follows_gap,
        packets_lost: frame.packets_lost,
        received_ns: frame.received_ns,
        width: frame.width,
        height: frame.height,
        data: PyBytes::new(py, &frame.data).unbind(),
    }
}

fn sender_report(py: Python<'_>, report: &core::SenderReport) -> SenderReport {
    let (mid, rid) = names(py, &report.layer);
    SenderReport { mid, rid, rtp_ticks: report.rtp_ticks, ntp_ns: report.ntp_ns, received_ns: report.received_ns }
}

fn names(py: Python<'_>, layer: &core::item::LayerName) -> (Py<PyString>, Option<Py<PyString>>) {
    let rid = layer.rid.as_ref().map(|rid| PyString::intern(py, rid).unbind());
    (PyString::intern(py, &layer.mid).unbind(), rid)
}
