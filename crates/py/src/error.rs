//! Core errors as Python exceptions, one to one.

use pyo3::create_exception;
use pyo3::exceptions::{PyLookupError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use soloist_core::OfferError as CoreOfferError;

create_exception!(
    soloist._core,
    OfferError,
    PyValueError,
    "The SDP offer cannot be answered; the message says which part and why."
);
create_exception!(soloist._core, SessionGoneError, PyLookupError, "The session has ended or never existed.");

pub fn offer_error(error: &CoreOfferError) -> PyErr {
    match error {
        CoreOfferError::SessionGone => SessionGoneError::new_err(error.to_string()),
        CoreOfferError::Internal(_) => PyRuntimeError::new_err(error.to_string()),
        _ => OfferError::new_err(error.to_string()),
    }
}

pub fn os_error(error: &std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
